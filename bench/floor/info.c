/*
** info: asks again and again, so many requests at once, and prints what that took as JSON.
**
**   floor info URL CONCURRENCY REQUESTS [plain|tuned|unresumed [1.1|2 [CA_FILE]]]
*/
#include <stdio.h>
#include <stdlib.h>

#include "floor.h"

static struct slot slots[MAX_SLOTS];
static long to_start, to_finish;

static void finished(struct engine *e, struct slot *s) {
  floor_check_answer(s);
  to_finish--;
  if (to_start > 0) {
    to_start--;
    floor_start(e, s);
  }
}

int floor_info(int argc, char **argv) {
  static struct engine e;
  if (argc < 4)
    floor_fail(
        "usage: floor info URL CONCURRENCY REQUESTS [plain|tuned|unresumed [1.1|2 [CA_FILE]]]");
  int concurrency = (int)floor_number(argv[2], MAX_SLOTS);
  long requests = floor_number(argv[3], 100000000);
  const struct way way = floor_way(argc, argv, 4);

  floor_open(&e, &way, concurrency, finished);
  for (int i = 0; i < concurrency; i++)
    floor_prepare(&slots[i], &e, &way, argv[1]);

  double began = floor_now(), cpu = floor_cpu();
  to_start = to_finish = requests;
  for (int i = 0; i < concurrency && to_start > 0; i++, to_start--)
    floor_start(&e, &slots[i]);
  while (to_finish > 0)
    floor_turn(&e, -1);
  printf("{\"requests\":%ld,\"seconds\":%.6f,\"cpu\":%.6f,\"peak_kb\":%ld}\n", requests,
         floor_now() - began, floor_cpu() - cpu, floor_peak_rss());

  for (int i = 0; i < concurrency; i++)
    floor_release(&slots[i]);
  floor_close(&e);
  return EXIT_SUCCESS;
}
