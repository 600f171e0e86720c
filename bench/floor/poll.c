/*
** poll: follows jobs to their end, so many at once, without a pause between two polls. An answer
** that is byte for byte the last one of its job says nothing new; only others are looked into.
**
**   floor poll URL CONCURRENCY JOBS [plain|tuned]
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "floor.h"

struct last {
  size_t length;
  char body[MAX_BODY];
};

static struct slot slots[MAX_SLOTS];
static struct last lasts[MAX_SLOTS];
static long to_start, to_finish, polls;

static bool is_over(struct slot *s) {
  struct last *last = &lasts[s->job];
  if (last->length == s->length && memcmp(last->body, s->body, s->length) == 0)
    return false;
  floor_check_answer(s);
  last->length = s->length;
  memcpy(last->body, s->body, s->length);
  return strstr(s->body, "\"video_status\":3") != NULL;
}

static void finished(struct engine *e, struct slot *s) {
  polls++;
  if (is_over(s)) {
    lasts[s->job].length = 0;
    to_finish--;
    if (to_start == 0)
      return;
    to_start--;
  }
  floor_start(e, s);
}

int floor_poll(int argc, char **argv) {
  static struct engine e;
  if (argc < 4)
    floor_fail("usage: floor poll URL CONCURRENCY JOBS [plain|tuned]");
  int concurrency = (int)floor_number(argv[2], MAX_SLOTS);
  long jobs = floor_number(argv[3], 100000000);
  const struct way way = floor_way(argc, argv, 4);

  floor_open(&e, &way, concurrency, finished);
  for (int i = 0; i < concurrency; i++) {
    slots[i].job = (size_t)i;
    floor_prepare(&slots[i], &e, &way, argv[1]);
  }

  double began = floor_now(), cpu = floor_cpu();
  to_start = to_finish = jobs;
  for (int i = 0; i < concurrency && to_start > 0; i++, to_start--)
    floor_start(&e, &slots[i]);
  while (to_finish > 0)
    floor_turn(&e, -1);
  printf("{\"requests\":%ld,\"seconds\":%.6f,\"cpu\":%.6f,\"peak_kb\":%ld}\n", polls,
         floor_now() - began, floor_cpu() - cpu, floor_peak_rss());

  for (int i = 0; i < concurrency; i++)
    floor_release(&slots[i]);
  floor_close(&e);
  return EXIT_SUCCESS;
}
