/*
 * test_dlopen.c - libtaper as a plugin is loaded, and in threads with small stacks:  test_dlopen LIBRARY
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

typedef const char *text_fn(void);

static text_fn *error;

static void *ask(void *unused)
{
    (void)unused;
    return *error() ? (void *)"an error" : NULL;
}

int main(int argc, char **argv)
{
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL, *wrong = NULL;
    pthread_attr_t small;
    pthread_t thread;

    if (library) *(void **)&error = dlsym(library, "tp_error"); /* as POSIX has it */
    if (!error) return fprintf(stderr, "test_dlopen: %s\n", argc > 1 ? dlerror() : "which library?"), 1;
    pthread_attr_init(&small);
    if (pthread_attr_setstacksize(&small, 64 << 10) || pthread_create(&thread, &small, ask, NULL) ||
        pthread_join(thread, &wrong) || wrong)
        return fprintf(stderr, "test_dlopen: a thread with 64 KiB of stack failed\n"), 1;
    if (dlclose(library) || !error()) return 1; /* threads still run in it: it stays */
    return 0;
}
