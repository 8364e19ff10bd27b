"""translate.py - the statements of a PTX function as C over ptx.h.

Integer and predicate registers are unsigned C variables, .f32 and .f64 ones float and double; an
instruction reads each operand as its own type.  An opcode that isn't here is an Error.
"""
import re

from arithmetic import BITWISE, Arithmetic, c_type, only
from parse import SIZES, Error, split

PLACES = {'%%%s.%s' % (n, d): 'at[%d]' % (3 * i + j) for i, n in enumerate(('tid', 'ntid', 'ctaid', 'nctaid'))
          for j, d in enumerate('xyz')}
COMPARE = {'eq': '==', 'ne': '!=', 'lt': '<', 'le': '<=', 'gt': '>', 'ge': '>=', 'lo': '<', 'ls': '<=',
           'hi': '>', 'hs': '>='}


def c_name(s):
    return 'v_' + re.sub(r'\W', '_', s)


class Body(Arithmetic):
    def __init__(self, module, function):
        self.module, self.function = module, function
        self.out, self.registers, self.names = [], {}, {}
        for i, (name, _, _) in enumerate(function.params):
            self.names[name] = 'p%d' % i
        for i, (name, _, _) in enumerate(function.results):
            self.names[name] = 'q%d' % i

    # ---- operands ----

    def register(self, s):
        """(C variable, type) of a register, or None."""
        if s in self.registers:
            return c_name(s), self.registers[s]
        m = re.match(r'^(%\w*?[a-z])\d+$', s)
        if m and m.group(1) in self.registers:
            return c_name(s), self.registers[m.group(1)]
        return None

    def value(self, s, t):
        r = self.register(s)
        if r:
            name, has = r
            if t in ('f32', 'f64'):
                return name if has == t else '%s(%s)' % (t.upper(), name)
            if has in ('f32', 'f64'):
                name = 'U%s(%s)' % (has[1:], name)
            return name if t == 'pred' else '(%s)%s' % (c_type(t), name)
        if s in PLACES:
            return '(%s)%s' % (c_type(t), PLACES[s])
        if re.match(r'^0[fFdD][0-9A-Fa-f]+$', s):
            e = '%s(0x%sull)' % ('F32' if s[1] in 'fF' else 'F64', s[2:])
            return e if t[0] == 'f' else '(%s)0x%sull' % (c_type(t), s[2:])
        if re.match(r'^-?(0x[0-9A-Fa-f]+|\d+)U?$', s):
            number = s.rstrip('U')
            if t == 'pred':
                return '%d' % (int(number, 0) != 0)
            if number == '-9223372036854775808':
                return '(%s)(1ull << 63)' % c_type(t)
            return '(%s)%sll' % (c_type(t), number)
        return '(%s)(uintptr_t)%s' % (c_type(t), self.address_of(s))

    def address_of(self, s):
        if s in self.module.shared or s in self.names:
            return self.names.get(s) or c_name(s)
        if s in self.module.data:
            return c_name(s)
        raise Error('operand ' + s)

    def put(self, d, e):
        """d = e, where e has its PTX type's C type; a wider register extends."""
        if d == '_':
            return
        r = self.register(d)
        if not r:
            raise Error('register ' + d)
        self.out.append('%s = %s;' % (r[0], e))

    def put_bits(self, d, t, e):
        """d = e of type t, where the register may be of another kind."""
        r = self.register(d) or ('', t)
        if t in ('f32', 'f64') and r[1] != t:
            e = 'U%s(%s)' % (t[1:], e)
        if t not in ('f32', 'f64') and r[1] in ('f32', 'f64'):
            e = '%s((uint%s_t)(%s))' % (r[1].upper(), r[1][1:], e)
        elif t != 'pred' and t not in ('f32', 'f64'):
            e = '(%s)(%s)' % (c_type(t), e)
        self.put(d, e)

    def place(self, s):
        m = re.match(r'^\[([^\]+]+?)(?:\+(-?\d+))?\]$', s.replace(' ', ''))
        if not m:
            raise Error('address ' + s)
        base, offset = m.group(1), int(m.group(2) or 0)
        r = self.register(base)
        e = '(uint8_t *)(uintptr_t)%s' % r[0] if r else '(uint8_t *)%s' % self.address_of(base)
        return '%s + %d' % (e, offset)

    # ---- declarations ----

    def declare(self, line):
        m = re.match(r'^\.reg \.(\w+) (.*)$', line)
        if m:
            kind = {'f16': 'b16', 'bf16': 'b16', 'f16x2': 'b32', 'bf16x2': 'b32'}.get(m.group(1), m.group(1))
            return self.declare_registers(kind, m.group(2))
        m = re.match(r'^\.(local|param|shared) (?:\.align (\d+) )?\.(\w+) ([\w$%]+)(?:\[(\d+)\])?$', line)
        if not m:
            raise Error('directive ' + line)
        space, align, kind, name, count = m.groups()
        size = SIZES[kind] * int(count or 1)
        if space == 'shared':
            self.module.shared[name] = size
            return self.share(name)
        self.names[name] = c_name(name)
        self.out.append('_Alignas(16) uint8_t %s[%d];' % (c_name(name), size))

    def declare_registers(self, kind, names):
        for name in names.replace(' ', '').split(','):
            m = re.match(r'^(%\w+)<(\d+)>$', name)
            self.registers[m.group(1) if m else name] = kind
            every = ['%s%d' % (m.group(1), i) for i in range(int(m.group(2)))] if m else [name]
            self.out.append('%s %s;' % (c_type(kind), ', '.join(c_name(n) for n in every)))

    def share(self, name):
        """A 32-bit address is enough: shared memory lies below 4 GiB."""
        self.names[name] = c_name(name)
        self.out.append('static const char w%s = 0; uint8_t *%s = cudasim_shared(&w%s, %d);'
                        % (c_name(name), c_name(name), c_name(name), self.module.shared[name]))

    # ---- statements ----

    def translate(self):
        text = ' '.join(self.function.body)
        for name in self.module.shared:
            if re.search(r'(?<![\w$])' + re.escape(name) + r'(?![\w$])', text):
                self.share(name)
        for s in self.function.body:
            try:
                self.statement(s)
            except (KeyError, IndexError, ValueError) as x:
                raise Error('%s in %s: %r' % (s, self.function.name, x))
            except Error as x:
                raise Error('%s: %s, in %s' % (x, s, self.function.name))
        return '\n'.join(self.out)

    def statement(self, s):
        if s in '{}':
            self.out.append(s)
        elif s.startswith('.loc '):
            _, file, line = s.split()[:3]
            self.out.append('#line %s "%s"' % (line, self.module.files[file]))
        elif s.startswith('.pragma'):
            pass
        elif s.startswith('.'):
            self.declare(s)
        elif s.endswith(':'):
            self.out.append(c_name(s[:-1]) + ':;')
        else:
            self.instruction(s)

    def instruction(self, s):
        m = re.match(r'^(?:@(!?)(%\w+) )?([a-z][\w.:]*) ?(.*)$', s)
        if not m:
            raise Error('statement')
        if m.group(2):
            self.out.append('if (%s%s) {' % (m.group(1), self.value(m.group(2), 'pred')))
        word = m.group(3).split('.')
        method = getattr(self, 'op_' + word[0], None)
        if not method:
            raise Error('unknown opcode ' + m.group(3))
        method(word[1:], split(m.group(4)))
        if m.group(2):
            self.out.append('}')

    # ---- control ----

    def op_ret(self, q, a):
        self.out.append('return;')

    op_exit = op_ret

    def op_bra(self, q, a):
        self.out.append('goto %s;' % c_name(a[0]))

    def op_bar(self, q, a):
        if q == ['warp', 'sync']:
            self.out.append('bar_warp(%s);' % self.value(a[0], 'b32'))
        elif a == ['0']:
            self.out.append('cudasim_barrier(__LINE__);')
        else:
            raise Error('named barrier')

    def op_barrier(self, q, a):
        self.op_bar([], a)

    def op_call(self, q, a):
        results, name, params = a
        names = [self.names[x] for x in split(results[1:-1]) + split(params[1:-1])]
        self.out.append('f%s(%s);' % (c_name(name), ', '.join(names)))

    # ---- memory ----

    def memory(self, name, q, a, write):
        t, n = q[-1], 4 if 'v4' in q else 2 if 'v2' in q else 1
        only(name, q, 'global', 'shared', 'local', 'param', 'const', 'nc', 'v2', 'v4')
        address, registers = (a[0], a[1]) if write else (a[1], a[0])
        registers = split(registers[1:-1]) if n > 1 else [registers]
        self.out.append('{ uint8_t *a_ = %s;' % self.place(address))
        if q[0] not in ('param', 'local', 'const'):
            self.out.append('CHECK(a_, %d, %d);' % (SIZES[t] * n, write))
        for i, r in enumerate(registers):
            cell = '*(%s *)(a_ + %d)' % (c_type(t), i * SIZES[t])
            if write:
                self.out.append('%s = %s;' % (cell, self.value(r, t)))
            else:
                self.put_bits(r, t, cell)
        self.out.append('}')

    # A volatile access is one that C mustn't leave out: none is.
    def op_ld(self, q, a):
        self.memory('ld', [w for w in q if w != 'volatile'], a, False)

    def op_st(self, q, a):
        self.memory('st', [w for w in q if w != 'volatile'], a, True)

    def op_membar(self, q, a):  # memory is sequentially consistent
        only('membar', q + [''], 'sys', 'gl', 'cta')

    def op_atom(self, q, a):
        if [w for w in q if w != 'relaxed'] != ['global', 'cas', 'b32']: # without a word it is relaxed, too
            raise Error('unknown opcode atom.' + '.'.join(q))
        self.out.append('{ uint8_t *a_ = %s; CHECK(a_, 4, 0); CHECK(a_, 4, 1);' % self.place(a[1]))
        self.put_bits(a[0], 'b32', 'atom_cas_b32(a_, %s, %s)' % (self.value(a[2], 'b32'), self.value(a[3], 'b32')))
        self.out.append('}')

    def op_cvta(self, q, a):
        self.put(a[0], self.value(a[1], 'u64'))

    def op_mov(self, q, a):
        t = q[-1]
        only('mov', q)
        if a[0][0] == '{':
            parts = split(a[0][1:-1])
            width = 8 * SIZES[t] // len(parts)
            for i, p in enumerate(parts):
                self.put_bits(p, 'u%d' % width, '%s >> %d' % (self.value(a[1], 'b%d' % (8 * SIZES[t])), width * i))
        elif a[1][0] == '{':
            parts = split(a[1][1:-1])
            width = 8 * SIZES[t] // len(parts)
            self.put_bits(a[0], t, ' | '.join('(%s)%s << %d' % (c_type(t), self.value(p, 'u%d' % width), width * i)
                                              for i, p in enumerate(parts)))
        else:
            self.put_bits(a[0], t, self.value(a[1], t))

    def op_shfl(self, q, a):
        d = a[0].split('|')
        if q[0] != 'sync' or q[1] not in ('bfly', 'down', 'up', 'idx') or q[2:] != ['b32']:
            raise Error('unknown opcode shfl.' + '.'.join(q))
        v = [self.value(x, 'b32') for x in a[1:]]
        self.out.append('{ uint8_t p_;')
        self.put_bits(d[0], 'b32', 'shfl_%s(lane_of(at), %s, &p_)' % (q[1], ', '.join(v)))
        if len(d) > 1:
            self.put(d[1], 'p_')
        self.out.append('}')

    MMA = {'m16n8k16': (4, 2), 'm16n8k8': (2, 1)}  # registers of A and of B

    def op_mma(self, q, a):
        """m16n8k8 is m16n8k16 whose further columns of A are 0."""
        if q[:2] != ['sync', 'aligned'] or q[3:] not in (['row', 'col', 'f32', t, t, 'f32'] for t in ('f16', 'bf16')):
            raise Error('unknown opcode mma.' + '.'.join(q))
        d, x, y, c = (split(v[1:-1]) for v in a)
        if (len(x), len(y)) != self.MMA[q[2]]:
            raise Error('fragments')
        self.out.append('{ float d_[4] = { %s };' % ', '.join(self.value(v, 'f32') for v in c))
        for name, size, v in (('a_', 4, x), ('b_', 2, y)):
            self.out.append('uint32_t %s[%d] = { %s };' % (name, size, ', '.join(self.value(r, 'b32') for r in v)))
        self.out.append('cudasim_mma(d_, a_, b_, %d);' % (q[6] == 'bf16'))
        for i, r in enumerate(d):
            self.put_bits(r, 'f32', 'd_[%d]' % i)
        self.out.append('}')

    def op_ldmatrix(self, q, a):
        if q != ['sync', 'aligned', 'm8n8', 'x4', 'trans', 'shared', 'b16']:
            raise Error('unknown opcode ldmatrix.' + '.'.join(q))
        self.out.append('{ uint32_t r_[4]; uint8_t *a_ = %s; CHECK(a_, 16, 0);' % self.place(a[1]))
        self.out.append('load_turned(lane_of(at), r_, a_);')
        for i, r in enumerate(split(a[0][1:-1])):
            self.put_bits(r, 'b32', 'r_[%d]' % i)
        self.out.append('}')

    # ---- comparison and choice ----

    def op_setp(self, q, a):
        t, x, y = q[-1], self.value(a[1], q[-1]), self.value(a[2], q[-1])
        how = q[0]
        if how in ('num', 'nan'):
            e = '%s(isnan(%s) || isnan(%s))' % ('!' if how == 'num' else '', x, y)
        elif t in ('f32', 'f64') and how in ('equ', 'neu', 'ltu', 'leu', 'gtu', 'geu'):
            e = '(isnan(%s) || isnan(%s) || %s %s %s)' % (x, y, x, COMPARE[how[:-1]], y)
        elif t in ('f32', 'f64') and how == 'ne':
            e = '(%s < %s || %s > %s)' % (x, y, x, y)
        else:
            e = '(%s %s %s)' % (x, COMPARE[how], y)
        for b in q[1:-1]:
            if b not in BITWISE:
                raise Error('unknown opcode setp.' + '.'.join(q))
            e += ' %s %s' % (BITWISE[b], self.value(a[3], 'pred'))
        self.put(a[0], e)

    def op_selp(self, q, a):
        t = q[-1]
        only('selp', q)
        self.put_bits(a[0], t, '%s ? %s : %s' % (self.value(a[3], 'pred'), self.value(a[1], t), self.value(a[2], t)))

    # ---- conversion ----

    ROUND = {'rni': 'rint', 'rzi': 'trunc', 'rmi': 'floor', 'rpi': 'ceil'}

    def op_cvt(self, q, a):
        to, of, how = q[-2], q[-1], q[:-2]
        halves = {'f16': 'b16', 'bf16': 'b16'}
        x = self.value(a[1], halves.get(of, of))
        if of in halves:
            x = 'from_%s(%s)' % (of, x)
        floats = ('f16', 'bf16', 'f32', 'f64')
        unknown = set(how) - set(self.ROUND) - {'rn', 'rz', 'rm', 'rp', 'sat', 'ftz'}
        directed = set(how) & {'rz', 'rm', 'rp'}
        known = set(floats) | {k + str(n) for k in 'su' for n in (8, 16, 32, 64)}
        if unknown or {to, of} - known or ('sat' in how and to != 'f32') or (directed and to != 'f32'):
            raise Error('unknown opcode cvt.' + '.'.join(q))
        if 'ftz' in how and of == 'f32':
            x = 'ftz(%s)' % x
        for h in how:
            if h in self.ROUND:
                x = '%s(%s)' % (self.ROUND[h] + ('f' if of == 'f32' else ''), x)
        if of in floats and to not in floats:
            if SIZES[to] < 4:
                raise Error('unknown opcode cvt.' + '.'.join(q))
            nan = 8 * SIZES[to] - 1 if of == 'f64' or SIZES[to] == 8 else 64
            x = 'to_%s(%s, %s)' % (to, x, '1ull << %d' % nan if nan < 64 else '0')
        elif directed:
            if of in ('s64', 'u64'):
                raise Error('unknown opcode cvt.' + '.'.join(q))
            x = 'toward(%s, 0, %s)' % (x, {'rz': '%s < 0 ? 1 : -1' % x, 'rm': '-1', 'rp': '1'}[directed.pop()])
        elif to == 'f32':
            x = '(float)%s' % x
        if 'sat' in how:
            x = 'sat(%s)' % x
        if to in halves:
            if of in ('f64', 's64', 'u64'):
                raise Error('unknown opcode cvt.' + '.'.join(q))
            return self.put_bits(a[0], 'b16', 'to_%s(%s)' % (to, x))
        self.put_bits(a[0], to, x)
