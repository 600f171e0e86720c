/*
** load: what it takes to load libcurl, and to make its global state and a multi handle, in a program
** that does not know it yet. Prints that as JSON.
*/
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void *symbol(void *library, const char *name) {
  void *found = dlsym(library, name);
  if (found == NULL) {
    fprintf(stderr, "load: %s\n", dlerror());
    exit(EXIT_FAILURE);
  }
  return found;
}

static double cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int main(void) {
  double began = cpu();
  void *library = dlopen("libcurl.so.4", RTLD_NOW);
  if (library == NULL) {
    fprintf(stderr, "load: %s\n", dlerror());
    return EXIT_FAILURE;
  }
  int (*global_init)(long) = NULL;
  void *(*multi_init)(void) = NULL;
  *(void **)&global_init = symbol(library, "curl_global_init");
  *(void **)&multi_init = symbol(library, "curl_multi_init");
  enum { EVERYTHING = 3 }; /* CURL_GLOBAL_DEFAULT */
  if (global_init(EVERYTHING) != 0 || multi_init() == NULL) {
    fprintf(stderr, "load: libcurl refuses\n");
    return EXIT_FAILURE;
  }
  printf("{\"cpu\":%.6f}\n", cpu() - began);
  return EXIT_SUCCESS;
}
