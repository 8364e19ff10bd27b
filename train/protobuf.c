/*
 * protobuf.c - see protobuf.h.  Little-endian machines alone, as the rest of the library.
 */
#include "train/protobuf.h"

#include "tensor/internal.h"

#include <string.h>

enum { VARINT, FIXED64, DELIMITED, FIXED32 = 5 }; /* wire types */

void tp__pb_append(tp_message *m, const void *p, size_t n)
{
    size_t room = m->room ? m->room : 256;
    void *grown;

    if (!tp_ok() || !n) return;
    while (room < m->n + n)
        room *= 2;
    if (room > m->room) {
        if (!(grown = tp__grow(m->p, m->room, room))) return;
        m->p = grown, m->room = room;
    }
    memcpy(m->p + m->n, p, n), m->n += n;
}

void tp__pb_free(tp_message *m)
{
    tp__release(m->p, m->room);
    *m = (tp_message){ 0 };
}

static void put_varint(tp_message *m, uint64_t v)
{
    unsigned char b[10];
    size_t n = 0;

    for (; v >= 0x80; v >>= 7)
        b[n++] = (unsigned char)(v | 0x80);
    b[n++] = (unsigned char)v;
    tp__pb_append(m, b, n);
}

static void put_key(tp_message *m, int field, int type)
{
    put_varint(m, (uint64_t)field << 3 | (uint64_t)type);
}

void tp__pb_int(tp_message *m, int field, int64_t v)
{
    put_key(m, field, VARINT), put_varint(m, (uint64_t)v);
}

void tp__pb_float(tp_message *m, int field, double v)
{
    float f = (float)v;

    put_key(m, field, FIXED32), tp__pb_append(m, &f, sizeof f);
}

void tp__pb_double(tp_message *m, int field, double v)
{
    put_key(m, field, FIXED64), tp__pb_append(m, &v, sizeof v);
}

void tp__pb_bytes(tp_message *m, int field, const void *p, size_t n)
{
    put_key(m, field, DELIMITED), put_varint(m, n), tp__pb_append(m, p, n);
}

void tp__pb_doubles(tp_message *m, int field, const double *v, size_t n)
{
    tp__pb_bytes(m, field, v, n * sizeof *v);
}

void tp__pb_text(tp_message *m, int field, const char *text)
{
    tp__pb_bytes(m, field, text, strlen(text));
}

void tp__pb_message(tp_message *m, int field, tp_message *inner)
{
    tp__pb_bytes(m, field, inner->p, inner->n);
    tp__pb_free(inner);
}

/* ---- records ---- */

/* Castagnoli's polynomial, reflected, four bits at a time. */
uint32_t tp__crc32c(const void *p, size_t n)
{
    static const uint32_t table[16] = { 0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
                                        0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
                                        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75 };
    const unsigned char *b = p;
    uint32_t crc = ~0u;

    for (size_t i = 0; i < n; i++) {
        crc ^= b[i];
        crc = crc >> 4 ^ table[crc & 15], crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

/* Turned and shifted, so that a CRC of bytes with CRCs in them is none of those. */
static uint32_t masked(const void *p, size_t n)
{
    uint32_t crc = tp__crc32c(p, n);

    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

bool tp__record_write(FILE *f, const tp_message *m)
{
    uint64_t n = m->n;
    uint32_t of_n = masked(&n, sizeof n), of_m = masked(m->p, m->n);

    return fwrite(&n, sizeof n, 1, f) == 1 && fwrite(&of_n, sizeof of_n, 1, f) == 1 &&
           (!m->n || fwrite(m->p, m->n, 1, f) == 1) && fwrite(&of_m, sizeof of_m, 1, f) == 1;
}

long tp__records_end(FILE *f)
{
    long size, end = 0;
    uint64_t n;
    uint32_t crc;

    if (fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0) return 0;
    while (fseek(f, end, SEEK_SET) == 0 && fread(&n, sizeof n, 1, f) == 1 && fread(&crc, sizeof crc, 1, f) == 1 &&
           crc == masked(&n, sizeof n) && size - end >= 16 && n <= (uint64_t)(size - end - 16))
        end += 16 + (long)n;
    return end;
}
