/*
 * tokenizer.h - text as numbers: by characters, by words, or by byte pairs as GPT-2 does.
 */
#ifndef TP_DATA_TOKENIZER_H
#define TP_DATA_TOKENIZER_H

#include "data/data.h"

TP_API_BEGIN

typedef struct tp_tokenizer tp_tokenizer; /* made; threads may share one that none changes */

/* The characters (code points) of a UTF-8 text, numbered from 0 in the order of their codes.
 * unknown: a token, "<unk>", that stands for every other character, numbered last; NULL: another
 * character is an error of tp_data_encode. */
tp_tokenizer *tp_data_chars(const char *text, size_t bytes, const char *unknown);
/* Those of a file, gzip or plain. */
tp_tokenizer *tp_data_chars_of(const char *path, const char *unknown);
/* Words, which blanks part, numbered from 0 in the order of their bytes; unknown as above.  Decoded, they
 * have a blank between them. */
tp_tokenizer *tp_data_words(const char *text, size_t bytes, const char *unknown);
/* As JSON: {"vocab": {"a": 0, ...}, "unknown": null or its text, "special": [...], "words": true of
 * words}; a file that is {"a": 0, ...} alone is read too.  GPT-2's have their own files. */
bool tp_data_tokenizer_save(const tp_tokenizer *t, const char *path)
    __attribute__((warn_unused_result));
tp_tokenizer *tp_data_tokenizer_load(const char *path);

/* Byte pairs (Sennrich et al. 2016) over bytes, as GPT-2 (Radford et al. 2019): vocab is JSON,
 * {"token": number, ...} with the numbers 0 to n - 1, merges a pair a line.  Text is cut by
 * GPT-2's expression  's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * with the categories of Unicode 14, and in each piece the pair that comes first in the file is
 * merged wherever it stands, again and again.  unknown: the token for bytes that have none; NULL:
 * they are an error of tp_data_encode.  Files that don't fit together are refused. */
tp_tokenizer *tp_data_bpe(const char *vocab, const char *merges, const char *unknown);
/* encoder.json and vocab.bpe, or vocab.json and merges.txt, in a folder. */
tp_tokenizer *tp_data_gpt2(const char *dir);

/* From now on `text`, wherever it stands, is one token: that of the vocabulary, or a new one, the
 * last.  Without this "<|endoftext|>" in a text is text like other text. */
bool tp_data_special(tp_tokenizer *t, const char *text);

int64_t tp_data_tokens(const tp_tokenizer *t); /* how many there are */
/* The number of a token, by the bytes it stands for; -1: there is none. */
int64_t tp_data_token_id(const tp_tokenizer *t, const char *text);
/* The bytes that a token stands for, with a 0 behind; part of a character, it may be.  NULL out of
 * range.  bytes may be NULL. */
const char *tp_data_token(const tp_tokenizer *t, int64_t id, size_t *bytes);

/* (n) i64 on the CPU, lent.  Text that isn't UTF-8 is refused with the place. */
tp_tensor *tp_data_encode(const tp_tokenizer *t, const char *text, size_t bytes);
/* (n, length) i64 on the CPU, lent: n texts, each filled up with padding, the number that t has of tokens.
 * length 0: the longest; a text that is longer is refused. */
tp_tensor *tp_data_encode_texts(const tp_tokenizer *t, const char *const *text, int64_t n, int64_t length);
/* The bytes of i64 (n) on the CPU, at most room with the final 0; gives the length of the whole.
 * A number that is no token: 0 and an error. */
size_t tp_data_decode(const tp_tokenizer *t, const tp_tensor *ids, char *text, size_t room);
/* All of a file, gzip or plain: its tokens, i64 (n); or, t NULL, its bytes, u8 (n).  tp_data_lanes
 * cuts it into windows. */
tp_tensor *tp_data_text(const char *path, const tp_tokenizer *t);
void tp_data_tokenizer_free(tp_tokenizer *t); /* NULL is allowed */

TP_API_END

#endif
