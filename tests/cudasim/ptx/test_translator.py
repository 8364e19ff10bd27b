#!/usr/bin/env python3
"""test_translator.py - what the translator doesn't know stops it, by name; what it knows is C."""
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
KERNEL = '''.version 9.0
.target sm_80
.address_size 64
.visible .entry f(.param .u64 .ptr .align 1 f_param_0)
.maxntid 256
{
    .reg .pred %%p<3>;
    .reg .b16 %%rs<3>;
    .reg .b32 %%r<9>;
    .reg .f32 %%f<9>;
    .reg .b64 %%rd<9>;
    %s
    ret;
}
'''


def translate(text):
    """(exit status, C, what it said)"""
    with tempfile.TemporaryDirectory() as folder:
        ptx, c = os.path.join(folder, 'k.ptx'), os.path.join(folder, 'k.c')
        with open(ptx, 'w') as file:
            file.write(text)
        done = subprocess.run([sys.executable, os.path.join(HERE, 'ptx2c.py'), ptx, c], stderr=subprocess.PIPE,
                              universal_newlines=True)
        out = ''
        if os.path.exists(c):
            with open(c) as file:
                out = file.read()
        return done.returncode, out, done.stderr


class Unknown(unittest.TestCase):
    STATEMENTS = {
        'popc.b32 %r1, %r2;': 'unknown opcode popc.b32',
        'wmma.load.a.sync.aligned.row.m16n16k16.global.f16 {%r1}, [%rd1];': 'unknown opcode wmma',
        'add.sat.s32 %r1, %r2, %r3;': 'unknown opcode add.sat.s32',
        'add.f16 %rs1, %rs1, %rs2;': 'unknown opcode add.f16',
        'min.NaN.f32 %f1, %f2, %f3;': 'unknown opcode min.NaN.f32',
        'sqrt.rz.f32 %f1, %f2;': 'unknown opcode sqrt.rz.f32',
        'fma.rn.relu.f32 %f1, %f2, %f3, %f4;': 'unknown opcode fma.relu.f32',
        'cvt.rn.bf16x2.f32 %r1, %f1, %f2;': 'unknown opcode cvt.rn.bf16x2.f32',
        'cvt.rzi.u8.f32 %rs1, %f1;': 'unknown opcode cvt.rzi.u8.f32',
        'ld.global.cg.u32 %r1, [%rd1];': 'unknown opcode ld.global.cg.u32',
        'atom.global.add.f32 %f1, [%rd1], %f2;': 'unknown opcode atom.global.add.f32',
        'atom.acquire.global.cas.b32 %r1, [%rd1], 0, 1;': 'unknown opcode atom.acquire.global.cas.b32',
        'shfl.bfly.b32 %r1, %r2, 1, 31;': 'unknown opcode shfl.bfly.b32',
        'mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%f1}, {%r1}, {%r2}, {%f1};': 'unknown opcode mma',
        'bar.sync 1;': 'named barrier',
        'mov.u32 %r1, %clock;': 'operand %clock',
        'add.s32 %x1, %r2, %r3;': 'register %x1',
        '.branchtargets L1, L2;': 'directive .branchtargets',
    }

    def test_statements(self):
        for statement, says in self.STATEMENTS.items():
            status, c, said = translate(KERNEL % statement)
            self.assertNotEqual(status, 0, statement)
            self.assertEqual(c, '', statement)
            self.assertIn(says, said)
            self.assertIn('in f', said)

    def test_a_file_without_target(self):
        status, _, said = translate((KERNEL % '').replace('.target', '.aim'))
        self.assertNotEqual(status, 0)
        self.assertIn('no .target', said)


class Known(unittest.TestCase):
    def test_a_kernel(self):
        status, c, said = translate(KERNEL % '''ld.param.u64 %rd1, [f_param_0];
            cvta.to.global.u64 %rd2, %rd1;
            ld.global.f32 %f1, [%rd2+4];
            add.f32 %f2, %f1, 0f3F800000;
            @%p1 bra $L1;
            st.global.f32 [%rd2], %f2;
        $L1:''')
        self.assertEqual((status, said), (0, ''))
        self.assertIn('ptx_register(80, all, 1)', c)
        self.assertIn('{ "f", kv_f, qv_f, 1, 8, 256 }', c)
        self.assertEqual(c.count('CHECK('), 2)

    def test_true_is_one(self):
        """nvcc writes it as -1, and turns predicates around by xor."""
        _, c, said = translate(KERNEL % 'mov.pred %p1, -1; xor.pred %p2, %p1, -1; mov.pred %p1, 0;')
        self.assertEqual(said, '')
        for statement in ('v__p1 = 1;', 'v__p2 = v__p1 ^ 1;', 'v__p1 = 0;'):
            self.assertIn(statement, c)

    def test_relaxed_is_the_default(self):
        both = [translate(KERNEL % ('atom.%sglobal.cas.b32 %%r1, [%%rd1], 0, 1;' % word)) for word in ('', 'relaxed.')]
        self.assertEqual([said for _, _, said in both], ['', ''])
        self.assertEqual(both[0][1], both[1][1])


unittest.main()
