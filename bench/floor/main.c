/* main: picks one of the floor's programs by name, and what they share of a command line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "floor.h"

long floor_number(const char *text, long most) {
  char *end;
  long n = strtol(text, &end, 10);
  if (*text == '\0' || *end != '\0' || n < 1 || n > most)
    floor_fail("a number is out of range");
  return n;
}

struct way floor_way(int argc, char **argv, int first) {
  const char *kind = first < argc ? argv[first] : "plain";
  const char *version = first + 1 < argc ? argv[first + 1] : "1.1";
  struct way way = {.tuned = strcmp(kind, "tuned") == 0,
                    .unresumed = strcmp(kind, "unresumed") == 0,
                    .http2 = strcmp(version, "2") == 0,
                    .ca_file = first + 2 < argc ? argv[first + 2] : NULL};
  if (!way.tuned && !way.unresumed && strcmp(kind, "plain") != 0)
    floor_fail("a floor is plain, tuned or unresumed");
  return way;
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
  } programs[] = {
      {"info", floor_info},
      {"poll", floor_poll},
      {"waiting", floor_waiting},
      {"download", floor_download},
  };
  for (size_t i = 0; argc > 1 && i < sizeof programs / sizeof programs[0]; i++) {
    if (strcmp(argv[1], programs[i].name) == 0)
      return programs[i].run(argc - 1, argv + 1);
  }
  fprintf(stderr, "usage: floor info|poll|waiting|download …\n");
  return EXIT_FAILURE;
}
