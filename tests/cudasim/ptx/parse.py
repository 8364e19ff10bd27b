"""parse.py - reads PTX as nvcc writes it: variables, functions, and their statements.

Nothing is interpreted here; what doesn't fit the few forms below is an Error.
"""
import re

SIZES = {'pred': 1}
for _bits in (8, 16, 32, 64):
    for _kind in 'busf':
        SIZES['%s%d' % (_kind, _bits)] = _bits // 8
SIZES.update({'bf16': 2, 'f16x2': 4, 'bf16x2': 4})


class Error(Exception):
    pass


class Function:
    """kernel: an .entry.  params, results: (name, offset, bytes).  body: statements."""

    def __init__(self, name, kernel, results, params, threads, body):
        self.name, self.kernel, self.results = name, kernel, results
        self.params, self.threads, self.body = params, threads, body


class Module:
    """shared: name -> bytes; data: name -> (align, type, count, initializer or None)."""

    def __init__(self):
        self.files, self.shared, self.data, self.functions = {}, {}, {}, []
        self.capability = 0


def split(text):
    """Operands: what stands between commas outside brackets."""
    out, depth, now = [], 0, ''
    for c in text:
        depth += c in '{[('
        depth -= c in '}])'
        if c == ',' and depth == 0:
            out.append(now.strip())
            now = ''
        else:
            now += c
    return out + [now.strip()] if now.strip() else out


PARAM = re.compile(r'^\.param\s+(?:\.align\s+(\d+)\s+)?\.(\w+)(?:\s+\.ptr\b.*?)?\s+([\w$%]+)(?:\[(\d+)\])?$')


def parameters(text):
    out, at = [], 0
    for p in split(text):
        m = PARAM.match(p)
        if not m:
            raise Error('parameter ' + p)
        size = int(m.group(4) or 1) * SIZES[m.group(2)]
        align = int(m.group(1) or SIZES[m.group(2)])
        at = (at + align - 1) // align * align
        out.append((m.group(3), at, size))
        at += size
    return out


def statements(body):
    """A list of str: an instruction or directive, 'label:', '{', '}', or '.loc ...'."""
    body = re.sub(r'^(\s*\.loc[^\n]*)$', r'\1;', body, flags=re.M)
    body = re.sub(r'^(\s*[$\w]+:)', r'\1;', body, flags=re.M)
    out = []
    for s in body.split(';'):
        s = ' '.join(s.split())
        while s[:1] in ('{', '}') and s:
            out.append(s[0])
            s = s[1:].strip()
        if s:
            out.append(s)
    return out


VARIABLE = re.compile(r'^\s*(?:\.(?:extern|visible|weak)\s+)*\.(shared|global|const)\s+(?:\.align\s+(\d+)\s+)?'
                      r'\.(\w+)\s+([\w$]+)(?:\[(\d*)\])?(?:\s*=\s*([^;]+))?;', re.M)
HEAD = re.compile(r'^\s*(?:\.(?:visible|weak|extern)\s+)*\.(entry|func)\s*(?:\(([^)]*)\)\s*)?([\w$]+)\s*'
                  r'\(([^)]*)\)([^{;]*)\{(.*?)^\}', re.S | re.M)


def variables(module, text):
    for space, align, kind, name, count, init in VARIABLE.findall(text):
        if space == 'shared':
            module.shared[name] = int(count or 1) * SIZES[kind]
        else:
            module.data[name] = (int(align or SIZES[kind]), kind, int(count or 1), init.strip())


def launch_bound(attributes):
    m = re.search(r'\.maxntid\s+([\d, ]+)', attributes)
    bound = 1
    for n in (m.group(1).split(',') if m else ['1024']):
        bound *= int(n)
    return bound


def parse(text):
    module = Module()
    target = re.search(r'^\.target\s+sm_(\d+)', text, re.M)
    if not target:
        raise Error('no .target')
    module.capability = int(target.group(1))
    module.files = dict(re.findall(r'^\s*\.file\s+(\d+)\s+"([^"]+)"', text, re.M))
    text = re.sub(r'//[^\n]*', '', text)
    text = re.sub(r'^\s*\.section\s.*', '', text, flags=re.S | re.M)  # debug information, to the end
    text = re.sub(r'^\s*\.file[^\n]*', '', text, flags=re.M)
    variables(module, HEAD.sub('', text))
    for kind, results, name, params, attributes, body in HEAD.findall(text):
        module.functions.append(Function(name, kind == 'entry', parameters(results), parameters(params),
                                         launch_bound(attributes), statements(body)))
    if not module.functions:
        raise Error('no function')
    return module
