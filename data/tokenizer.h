/*
 * tokenizer.h - text as numbers: by characters, by words, by byte pairs as GPT-2 does, or by
 * pieces of words as BERT does.
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
/* Any kind as JSON: {"vocab": {"a": 0, ...}, "unknown": null or its text, "special": [...]}, of words with
 * "words": true, of byte pairs "merges": ["a b", ...], of pieces of words "wordpiece": {"lower": true};
 * a file that is {"a": 0, ...} alone is read as characters. */
bool tp_data_tokenizer_save(const tp_tokenizer *t, const char *path)
    __attribute__((warn_unused_result));
tp_tokenizer *tp_data_tokenizer_load(const char *path);
/* The same as text: at most `room` bytes with the final 0; gives the length of the whole, 0 after an
 * error. */
size_t tp_data_tokenizer_text(const tp_tokenizer *t, char *text, size_t room);
tp_tokenizer *tp_data_tokenizer_parse(const char *json, size_t bytes);

/* Byte pairs (Sennrich et al. 2016) over bytes, as GPT-2 (Radford et al. 2019): vocab is JSON,
 * {"token": number, ...} with the numbers 0 to n - 1, merges a pair a line.  Text is cut by
 * GPT-2's expression  's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * with the categories of Unicode 14, and in each piece the pair that comes first in the file is
 * merged wherever it stands, again and again.  unknown: the token for bytes that have none; NULL:
 * they are an error of tp_data_encode.  Files that don't fit together are refused. */
tp_tokenizer *tp_data_bpe(const char *vocab, const char *merges, const char *unknown);
/* encoder.json and vocab.bpe, or vocab.json and merges.txt, in a folder. */
tp_tokenizer *tp_data_gpt2(const char *dir);

/* Byte pairs learned from n texts: GPT-2's 256 bytes, then, of the pairs of tokens within its
 * pieces, the one that occurs most becomes a token, again and again, until there are `tokens` of
 * them (256 at least) or no pair occurs twice; of equals the pair of the lower numbers.  Texts
 * that aren't UTF-8 are refused with the place. */
tp_tokenizer *tp_data_bpe_learn(const char *const *text, int64_t n, int64_t tokens);
/* Byte pairs as encoder.json and vocab.bpe in a folder that is there, which tp_data_gpt2 reads;
 * special tokens are in the vocabulary, and tp_data_special makes them special again. */
bool tp_data_bpe_save(const tp_tokenizer *t, const char *dir)
    __attribute__((warn_unused_result));

/* WordPiece as BERT's (Devlin et al. 2018) by its vocab.txt, a token a line.  Text is cleaned,
 * cut at white space, around Chinese characters and punctuation, and, lower, made small without
 * accents (Unicode 14); each word is cut into the longest tokens from its beginning, those
 * inside it being written "##ing".  A word that can't be, or is longer than 200 characters, is
 * [UNK], which the file must have.  Decoding gives the tokens as text, "##" left out and nothing
 * between. */
tp_tokenizer *tp_data_wordpiece(const char *vocab, bool lower);

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
/* The bytes of i64 (n) on the CPU, at most room with the final 0; gives the length of the whole.
 * A number that is no token: 0 and an error. */
size_t tp_data_decode(const tp_tokenizer *t, const tp_tensor *ids, char *text, size_t room);
/* How texts become rows. */
typedef struct tp_rows_opts {
    int64_t begin, end; /* symbols around each text; -1: none */
    int64_t padding;    /* the symbol behind it, or the number of all symbols; 0 */
    int64_t most;       /* symbols in a row, begin and end included; 512 */
    int64_t *cut; /* becomes how many texts were longer and are cut; NULL: not told */
    bool filled;
} tp_rows_opts;
tp_rows_opts tp_rows_defaults(void); /* -1, -1, 0, 512 */
/* Those with special tokens of t, new ones where it lacks them: "<pad>", "<s>" and "</s>", or,
 * of pieces of words, BERT's "[PAD]", "[CLS]" and "[SEP]".  After a failure those of
 * tp_rows_defaults. */
tp_rows_opts tp_rows_marked(tp_tokenizer *t, int64_t most);
/* n texts as i64 (n, most) on the CPU, lent, and in *lengths, unless lengths is NULL, i64 (n). */
tp_tensor *tp_data_rows(const tp_tokenizer *t, const char *const *text, int64_t n,
                        tp_rows_opts o, tp_tensor **lengths);
/* As many columns as the longest of these rows needs, (N, T) of (N, most), a view; rows and
 * lengths (N) on one device, for which it waits. */
tp_tensor *tp_data_trim(tp_tensor *rows, tp_tensor *lengths);
/* Samples from .. to - 1 of tensors that belong together, as tp_data_tensors has them, in
 * batches of rows that are about as long: with o.shuffle in tp_data_by_length's order, otherwise
 * from the shortest to the longest.  lengths: contiguous i64 (samples) or (samples, k), of which
 * the sum counts. */
tp_loader *tp_data_rows_loader(tp_list fields, tp_tensor *lengths, int64_t from,
                               int64_t to, tp_loader_opts o);
/* Row i of such rows, i64 (n, ...) on any device, as text: what is between o's begin and end,
 * without padding.  At most room bytes with the final 0; gives the length of the whole, 0 after
 * an error. */
size_t tp_data_row(const tp_tokenizer *t, const tp_tensor *rows, int64_t i,
                   tp_rows_opts o, char *text, size_t room);
/* All of a file, gzip or plain: its tokens, i64 (n); or, t NULL, its bytes, u8 (n).  tp_data_lanes
 * cuts it into windows. */
tp_tensor *tp_data_text(const char *path, const tp_tokenizer *t);
void tp_data_tokenizer_free(tp_tokenizer *t); /* NULL is allowed */

TP_API_END

#endif
