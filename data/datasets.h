/*
 * datasets.h - data sets in files of common kinds: CIFAR, folders of pictures, CSV; and NumPy's
 * arrays and text as tensors.
 *
 * Files are checked before they are believed; what is wrong is told with the file and the place.
 */
#ifndef TP_DATA_DATASETS_H
#define TP_DATA_DATASETS_H

#include "data/data.h"
#include "data/tokenizer.h"

TP_API_BEGIN

/* ---- CIFAR (Krizhevsky 2009), the binary version ---- */

/* A folder with data_batch_1.bin ... (as many as there are, numbered without a gap) and
 * test_batch.bin, gzip or plain.  Samples: x (3, 32, 32) f32 in [0, 1], label i64.  Classes are
 * named after batches.meta.txt where that is in the folder.  split: "train" or "test". */
tp_dataset *tp_data_cifar10(const char *dir, const char *split);
/* A folder with train.bin and test.bin: x, fine label (0 to 99), coarse label (0 to 19).  Names:
 * fine_label_names.txt. */
tp_dataset *tp_data_cifar100(const char *dir, const char *split);

/* ---- pictures: PNG, JPEG, BMP, PPM and PGM, read by stb_image ---- */

/* One file as f32 (channels, H, W) in [0, 1].  channels 3, 1, or 0: 1 for a grey picture and 3
 * for others.  Grey is 0.299 R + 0.587 G + 0.114 B; an alpha channel is left out, as Pillow's
 * convert does; 16 bits a channel are kept; of an animated PNG the first picture is taken; turns that a
 * camera notes (EXIF) are not made.  At most 2^27 pixels, 2^16 a side. */
tp_tensor *tp_data_image_load(const char *path, int channels, tp_device *dev);

/* How a picture of another size gets the wanted one. */
typedef enum tp_fit {
    TP_FIT_CROP,   /* resized to cover the wanted size, the middle of it taken */
    TP_FIT_STRETCH /* resized, whatever becomes of its proportions */
} tp_fit;
typedef struct tp_images_opts {
    int channels;          /* 1 or 3; 0: 3 */
    int64_t height, width; /* width 0: as height; both 0: all pictures must be of one size */
    tp_fit fit;            /* bilinear with antialiasing, as torchvision's Resize */
} tp_images_opts;
/* dir/CLASS/... as torchvision's ImageFolder: the classes are the folders in dir, sorted by name,
 * numbered from 0; every picture below a class folder is one of its samples, sorted by path.
 * Names that begin with a dot, and files without an ending of a picture, are passed over; a
 * picture of another format (TIFF, WebP, GIF) is refused by name, and so is a class without any.
 * Samples: x (channels, H, W) f32 in [0, 1], label i64, decoded when they are taken: by the
 * workers of the loader.  The header of each file is read here. */
tp_dataset *tp_data_image_folder(const char *dir, tp_images_opts o);
tp_dataset *tp_data_images(const char *dir, tp_images_opts o); /* one folder, x alone */
const char *tp_data_image_path(const tp_dataset *d, int64_t i); /* of these two; else NULL */

/* ---- what pictures of folders show, by the names of their files: "red apple" of red_apple.png ---- */

/* Of sample i: at most `room` bytes with the final 0; gives the length of the whole, 0 after an error. */
size_t tp_data_caption(const tp_dataset *d, int64_t i, char *text, size_t room);
/* The words of all of them. */
tp_tokenizer *tp_data_caption_words(const tp_dataset *d);
/* With one field more, behind the others: the tokens, i64 (the longest caption); the number of tokens
 * that t has is padding.  Takes d; t may go. */
tp_dataset *tp_data_captions(tp_dataset *d, const tp_tokenizer *t);

/* ---- tables: CSV by RFC 4180, plain or gzip ---- */

/* Is the first row one of names? */
typedef enum tp_header { TP_HEADER_AUTO, TP_HEADER_YES, TP_HEADER_NO } tp_header;
/* What becomes of a field without a number. */
typedef enum tp_missing {
    TP_MISSING_REFUSE, /* an error that names line and column */
    TP_MISSING_NAN,    /* NaN; in one-hot columns zeros */
    TP_MISSING_MEAN,   /* the mean of the rest of the column; not for y */
    TP_MISSING_DROP    /* the row is left out */
} tp_missing;
/* What becomes of text among the columns of x. */
typedef enum tp_words {
    TP_WORDS_REFUSE, /* text in x is an error that names line, column and text */
    TP_WORDS_CODES,  /* a column of text becomes 0, 1, ... in sorted order; more than 20 numbers, and more
                      * than there are texts, with text among them are an error, here and below */
    TP_WORDS_ONE_HOT, /* ... becomes a column of 0 and 1 for each text, in sorted order */
    TP_WORDS_LEAVE_OUT /* a column without any number, dates say, is left out unless x names it; text among
                        * numbers is an error as in TP_WORDS_REFUSE */
} tp_words;
typedef struct tp_csv_opts {
    /* Columns by name, or by number from 0 (from -1, the last, backwards): "age,income", "0,3",
     * a name with a comma in quotes.  A name goes before a number.  x NULL: all but y; y NULL:
     * samples have no second field. */
    const char *x, *y;
    tp_header header;   /* auto: the first row is one when no field of it is a number */
    char delimiter;     /* 0: a comma */
    bool no_quotes;     /* a quotation mark is text like other text */
    int64_t skip;       /* lines before the table */
    tp_missing missing; /* an empty field, or NA, NaN, null, ... as in pandas; infinities are none */
    tp_words words;
    bool classes; /* y is a label even where it is a number; text always is one */
} tp_csv_opts;
/* x (columns) f32; y (columns of y) f32, or an i64 label that numbers the sorted values of the
 * one column from 0; tp_data_class gives the value.  Numbers are read as with a point, whatever
 * the locale, correctly rounded to f64 and then to f32.  "inf", 1e999 and whatever else is infinite in
 * f32 is an error that names line, column and text, whatever o.missing is. */
tp_dataset *tp_data_csv(const char *path, tp_csv_opts o);
/* Of x, or "name=text" of a one-hot column; the number where there is no header.  NULL where
 * there is no such column.  Also of sets made of a table. */
const char *tp_data_column(const tp_dataset *d, int64_t i);

/* ---- tables of text ---- */

typedef struct tp_table tp_table; /* made: tp_data_table_free */
/* Every field of a file as text, of CSV as above or, with another delimiter, of its like.  Of o
 * header, delimiter, no_quotes and skip count.  header auto: the first row is one of names when no
 * field of it is a number, and there is a column whose other fields all are numbers, or categories that
 * it is none of: at most a tenth as many different texts as rows, and less than 1000.  What isn't UTF-8
 * is refused with the line. */
tp_table *tp_data_table(const char *path, tp_csv_opts o);
int64_t tp_data_table_rows(const tp_table *t);    /* without the header */
int64_t tp_data_table_columns(const tp_table *t); /* of every row */
/* The table's own; NULL out of range. */
const char *tp_data_table_at(const tp_table *t, int64_t row, int64_t column);
void tp_data_table_free(tp_table *t);

/* ---- NumPy's files: f32 f64 f16 i64 i32 u8 bool, either byte order, C or Fortran order ---- */

tp_tensor *tp_data_npy(const char *path, tp_device *dev); /* a copy, row-major */
/* In logical order; bf16, which NumPy doesn't have, is refused. */
bool tp_data_npy_save(const char *path, const tp_tensor *t) __attribute__((warn_unused_result));
/* An array of an .npz file, stored or deflated, by its name, with or without ".npy". */
tp_tensor *tp_data_npz(const char *path, const char *name, tp_device *dev);
/* The names in it, a line each, without ".npy": as much as fits into room bytes, with a 0.  Gives
 * the length of the whole; 0 and an error when the file can't be read. */
size_t tp_data_npz_names(const char *path, char *text, size_t room);

TP_API_END

#endif
