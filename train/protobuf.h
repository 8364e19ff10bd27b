/*
 * protobuf.h - what TensorBoard's files are made of: protocol buffers' wire format, in records with
 * masked CRC-32C as TensorFlow frames them.
 */
#ifndef TP_TRAIN_PROTOBUF_H
#define TP_TRAIN_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A message as it grows.  Out of memory is kept as an error of the thread; what follows does nothing. */
typedef struct tp_message {
    unsigned char *p;
    size_t n, room;
} tp_message;

void tp__pb_int(tp_message *m, int field, int64_t v);
void tp__pb_float(tp_message *m, int field, double v);
void tp__pb_double(tp_message *m, int field, double v);
void tp__pb_doubles(tp_message *m, int field, const double *v, size_t n); /* packed */
void tp__pb_bytes(tp_message *m, int field, const void *p, size_t n);
void tp__pb_text(tp_message *m, int field, const char *text);
void tp__pb_message(tp_message *m, int field, tp_message *inner); /* and frees inner */
void tp__pb_append(tp_message *m, const void *p, size_t n); /* bare bytes */
void tp__pb_free(tp_message *m);

uint32_t tp__crc32c(const void *p, size_t n);
/* length (8 bytes), its masked CRC, the message, its masked CRC */
bool tp__record_write(FILE *f, const tp_message *m);
/* Where the whole records from the start of f end. */
long tp__records_end(FILE *f);

#endif
