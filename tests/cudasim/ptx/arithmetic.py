"""arithmetic.py - PTX's arithmetic instructions as C.

FLOAT and INTEGER map an opcode to what translates it.  A method's arguments: the opcode, its
words after the dot, the last of them (the type), the operands.
"""
from parse import SIZES, Error

BITWISE = {'and': '&', 'or': '|', 'xor': '^'}


def c_type(t):
    if t in ('f32', 'f64'):
        return 'float' if t == 'f32' else 'double'
    if t == 'pred':
        return 'uint8_t'
    return ('int%d_t' if t[0] == 's' else 'uint%d_t') % (8 * SIZES[t])


def only(name, q, *words):
    """Of what an opcode's words may ask for, these are known."""
    if set(q[:-1]) - set(words):
        raise Error('unknown opcode %s.%s' % (name, '.'.join(q)))


class Arithmetic:
    """Of a Body, which has value(operand, type) and put_bits(register, type, expression)."""

    WORDS = {'add': ('cc',), 'sub': ('cc',), 'addc': ('cc',), 'subc': ('cc',), 'mul': ('lo', 'hi', 'wide'),
             'mad': ('lo', 'hi', 'wide', 'cc'), 'madc': ('lo', 'hi', 'cc'), 'shf': ('l', 'wrap')}

    def arithmetic(self, name, q, a):
        t = q[-1]
        if t == 'pred':
            x = [self.value(y, t) for y in a[1:]]
            return self.put(a[0], '!' + x[0] if name == 'not' else '%s %s %s' % (x[0], BITWISE[name], x[1]))
        family = self.FLOAT if t in ('f32', 'f64') else self.INTEGER
        if t in ('f16', 'bf16', 'f16x2', 'bf16x2') or name not in family:
            raise Error('unknown opcode %s.%s' % (name, '.'.join(q)))
        if family is self.INTEGER:
            only(name, q, *self.WORDS.get(name, ()))
        family[name](self, name, q, t, a)

    def floats(self, q, t, operands):
        """Their expressions; .ftz reads subnormal numbers as 0."""
        form = 'ftz(%s)' if 'ftz' in q and t == 'f32' else '%s'
        return [form % self.value(x, t) for x in operands]

    def float_two(self, name, q, t, a):
        x, y = self.floats(q, t, a[1:])
        sign = {'add': '+', 'sub': '-', 'mul': '*', 'div': '/'}[name]
        only(name, q, 'rn', 'ftz', 'approx', 'full', 'sat', *(('rz',) if (name, t) == ('add', 'f32') else ()))
        if 'rz' in q:
            e = 'fma_rz(%s, 1, %s)' % (x, y)
        else:
            e = 'div_approx(%s, %s)' % (x, y) if 'approx' in q else '%s %s %s' % (x, sign, y)
        self.put_float(a[0], q, t, e)

    def put_float(self, d, q, t, e):
        if 'ftz' in q and t == 'f32':
            e = 'ftz(%s)' % e
        self.put_bits(d, t, 'sat(%s)' % e if 'sat' in q else e)

    def float_fma(self, name, q, t, a):
        only(name, q[1:], 'ftz', 'sat')
        if q[0] == 'rn':
            f = 'fmaf' if t == 'f32' else 'fma'
        elif t == 'f32' and q[0] in ('rm', 'rz', 'rp'):
            f = 'fma_' + q[0]
        else:
            raise Error('unknown opcode fma.' + '.'.join(q))
        self.put_float(a[0], q, t, '%s(%s)' % (f, ', '.join(self.floats(q, t, a[1:]))))

    def float_one(self, name, q, t, a):
        form = {'neg': '-(%s)', 'abs': 'fabsX(%s)', 'sqrt': 'sqrtX(%s)', 'rcp': '1 / (%s)', 'rsqrt': '1 / sqrtX(%s)',
                'ex2': 'exp2X(%s)', 'lg2': 'log2X(%s)', 'sin': 'sinX(%s)', 'cos': 'cosX(%s)', 'tanh': 'tanhX(%s)'}[name]
        x, approximate = self.floats(q, t, a[1:])[0], t == 'f64' and 'approx' in q
        only(name, q, 'rn', 'approx', 'ftz')
        if approximate and name not in ('rcp', 'rsqrt'):
            raise Error('unknown opcode %s.%s' % (name, '.'.join(q)))
        if approximate:
            x = 'upper(%s)' % x
        e = form.replace('X', 'f' if t == 'f32' else '') % x
        self.put_float(a[0], q, t, 'upper(%s)' % e if approximate else e)

    def float_least(self, name, q, t, a):
        only(name, q, 'ftz')
        self.put_float(a[0], q, t, '%s_%s(%s)' % (name, t, ', '.join(self.floats(q, t, a[1:]))))

    def float_sign(self, name, q, t, a):
        self.put_bits(a[0], t, 'copysign%s(%s, %s)' % ('f' if t == 'f32' else '', self.value(a[2], t),
                                                       self.value(a[1], t)))

    FLOAT = {'add': float_two, 'sub': float_two, 'mul': float_two, 'div': float_two, 'fma': float_fma,
             'mad': float_fma, 'min': float_least, 'max': float_least, 'copysign': float_sign}
    FLOAT.update(dict.fromkeys(('neg', 'abs', 'sqrt', 'rcp', 'rsqrt', 'ex2', 'lg2', 'sin', 'cos', 'tanh'), float_one))

    def two(self, name, q, t, a):
        """Wrapping: in the unsigned type of the size."""
        u = 'u%d' % (8 * SIZES[t])
        x, y = self.value(a[1], u), self.value(a[2], u)
        if name in ('add', 'sub') and 'cc' in q or name in ('addc', 'subc'):
            return self.carry(name, q, t, a, x, y)
        sign = dict(BITWISE, add='+', sub='-')[name]
        self.put_bits(a[0], t, '%s %s %s' % (x, sign, y))

    def carry(self, name, q, t, a, x, y):
        if t != 'u32' and t != 's32':
            raise Error('unknown opcode %s.%s' % (name, '.'.join(q)))
        sign = '+' if name[:3] == 'add' else '-'
        e = '(uint64_t)%s %s %s' % (x, sign, y) + (' %s cc' % sign if name[-1] == 'c' else '')
        self.out.append('{ uint64_t w_ = %s;' % e)
        if 'cc' in q:
            self.out.append('cc = w_ >> 32 & 1;')
        self.put_bits(a[0], 'u32', '(uint32_t)w_')
        self.out.append('}')

    def product(self, q, t, a):
        """(C expression, type) of a mul or mad's product."""
        wide, bits = t[0] + str(16 * SIZES[t]), 8 * SIZES[t]
        if 'wide' in q:
            return '(%s)%s * %s' % (c_type(wide), self.value(a[1], t), self.value(a[2], t)), wide
        if 'hi' in q:
            w = c_type(wide) if bits < 64 else '__int128' if t[0] == 's' else 'unsigned __int128'
            return '(%s)((%s)%s * %s >> %d)' % (c_type(t), w, self.value(a[1], t), self.value(a[2], t), bits), t
        u = 'u%d' % bits
        return '(%s)(1u * %s * %s)' % (c_type(u), self.value(a[1], u), self.value(a[2], u)), t

    def multiply(self, name, q, t, a):
        e, kind = self.product(q, t, a)
        self.put_bits(a[0], kind, e)

    def multiply_add(self, name, q, t, a):
        e, kind = self.product(q, t, a)
        u = 'u%d' % (8 * SIZES[kind])
        if 'cc' in q or name == 'madc':
            return self.carry('addc' if name == 'madc' else 'add', q, t, a, e, self.value(a[3], u))
        self.put_bits(a[0], kind, '(%s)(%s) + %s' % (c_type(u), e, self.value(a[3], u)))

    def divide(self, name, q, t, a):
        self.put_bits(a[0], t, '%s_%s(%s, %s)' % (name, t, self.value(a[1], t), self.value(a[2], t)))

    def shift(self, name, q, t, a):
        x, n, bits = self.value(a[1], t), self.value(a[2], 'u32'), 8 * SIZES[t]
        if name == 'shl':
            e = '%s > %d ? 0 : %s << %s' % (n, bits - 1, x, n)
        elif t[0] == 's':
            e = '%s >> (%s > %d ? %d : %s)' % (x, n, bits - 1, bits - 1, n)
        else:
            e = '%s > %d ? 0 : %s >> %s' % (n, bits - 1, x, n)
        self.put_bits(a[0], t, e)

    def least(self, name, q, t, a):
        x, y = self.value(a[1], t), self.value(a[2], t)
        self.put_bits(a[0], t, '%s %s %s ? %s : %s' % (x, '<' if name == 'min' else '>', y, x, y))

    def one(self, name, q, t, a):
        u = 'u%d' % (8 * SIZES[t])
        x = self.value(a[1], u)
        if name == 'abs':
            return self.put_bits(a[0], t, '%s < 0 ? 0 - %s : %s' % (self.value(a[1], t), x, x))
        self.put_bits(a[0], t, {'neg': '0 - %s', 'not': '~%s'}[name] % x)

    def count_zeros(self, name, q, t, a):
        x = self.value(a[1], t)
        self.put_bits(a[0], 'u32', '%s ? __builtin_clz%s(%s) : %d' % (x, 'll' if t == 'b64' else '', x, 8 * SIZES[t]))

    def permute(self, name, q, t, a):
        self.put_bits(a[0], t, 'prmt(%s)' % ', '.join(self.value(x, t) for x in a[1:]))

    def insert(self, name, q, t, a):
        self.put_bits(a[0], t, 'bfi(%s, %s, %s, %s, %d)' % (self.value(a[1], t), self.value(a[2], t),
                                                           self.value(a[3], 'u32'), self.value(a[4], 'u32'),
                                                           8 * SIZES[t]))

    def extract(self, name, q, t, a):
        if t != 'u32':
            raise Error('unknown opcode bfe.' + t)
        self.put_bits(a[0], t, 'bfe_u32(%s)' % ', '.join(self.value(x, 'u32') for x in a[1:]))

    def funnel(self, name, q, t, a):
        if q[:2] != ['l', 'wrap']:
            raise Error('unknown opcode shf.' + '.'.join(q))
        x, y, n = (self.value(v, 'u32') for v in a[1:])
        self.put_bits(a[0], t, '(((uint64_t)%s << 32 | %s) << (%s & 31)) >> 32' % (y, x, n))

    INTEGER = {'add': two, 'sub': two, 'addc': two, 'subc': two, 'and': two, 'or': two, 'xor': two, 'mul': multiply,
               'mad': multiply_add, 'madc': multiply_add, 'div': divide, 'rem': divide, 'shl': shift, 'shr': shift,
               'min': least, 'max': least, 'neg': one, 'not': one, 'abs': one, 'clz': count_zeros, 'prmt': permute,
               'bfi': insert, 'bfe': extract, 'shf': funnel}


def _arithmetic(name):
    return lambda self, q, a: self.arithmetic(name, q, a)


for _name in set(Arithmetic.FLOAT) | set(Arithmetic.INTEGER):
    setattr(Arithmetic, 'op_' + _name, _arithmetic(_name))
