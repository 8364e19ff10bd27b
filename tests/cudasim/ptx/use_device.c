/*
 * use_device.c - opens a device as a user's program does and computes 1 + ... + 1000 on it:  use_device NAME
 */
#include "taper.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    tp_device *dev = tp_device_open(argc > 1 ? argv[1] : "cuda");

    if (!dev) return fprintf(stderr, "%s\n", tp_error()), 1;
    TP_SCOPE;
    printf("%s: %g\n", tp_device_describe(dev),
           tp_item(tp_sum(tp_arange(1, 1001, 1, TP_F32, dev), TP_ALL)));
    return tp_ok() ? 0 : (fprintf(stderr, "%s\n", tp_error()), 1);
}
