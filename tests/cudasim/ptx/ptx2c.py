#!/usr/bin/env python3
"""ptx2c.py FROM.ptx TO.c - writes the kernels of a PTX file as C; fails at what it doesn't know."""
import sys

from arithmetic import c_type
from parse import Error, parse
from translate import Body, c_name


def data(name, align, kind, count, init):
    value = ' = %s' % (init if init.startswith('{') else '{%s}' % init) if init else ''
    return '_Alignas(%d) static %s %s[%d]%s;' % (align, c_type(kind), c_name(name), count, value)


def signature(f):
    if f.kernel:
        return 'static void k%s(void *g)' % c_name(f.name)
    args = ['uint8_t *q%d' % i for i in range(len(f.results))] + ['uint8_t *p%d' % i for i in range(len(f.params))]
    return 'static void f%s(%s)' % (c_name(f.name), ', '.join(args))


def function(module, f):
    shared = dict(module.shared)  # those of this function's body are its own
    body = Body(module, f).translate()
    module.shared = shared
    params = ''.join('uint8_t *p%d = (uint8_t *)g + %d;\n' % (i, at) for i, (_, at, _) in enumerate(f.params)
                     ) if f.kernel else ''
    return '%s\n{\nuint32_t at[12], cc = 0; ptx_places(at); (void)cc;\n%s%s\n}' % (signature(f), params, body)


def entry(f):
    size = max([at + n for _, at, n in f.params] or [0])
    return '{ "%s", k%s, q%s, %d, %d, %d },' % (f.name, c_name(f.name), c_name(f.name), len(f.params), size, f.threads)


def main():
    try:
        with open(sys.argv[1]) as file:
            module = parse(file.read())
        out = ['#include "ptx.h"'] + [data(n, *v) for n, v in module.data.items()]
        out += [signature(f) + ';' for f in module.functions]
        out += [function(module, f) for f in module.functions]
    except Error as x:
        sys.exit('ptx2c: %s: %s' % (sys.argv[1], x))
    kernels = [f for f in module.functions if f.kernel]
    for f in kernels:
        out.append('static const ptx_param q%s[] = { %s };' % (c_name(f.name), ', '.join(
            '{ %d, %d }' % (at, n) for _, at, n in f.params) or '{ 0, 0 }'))
    out.append('static const ptx_kernel all[] = {\n%s\n};' % '\n'.join(map(entry, kernels)))
    out.append('__attribute__((constructor)) static void tell(void) { ptx_register(%d, all, %d); }'
               % (module.capability, len(kernels)))
    with open(sys.argv[2], 'w') as file:
        file.write('\n'.join(out) + '\n')


main()
