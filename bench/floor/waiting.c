/*
** waiting: many jobs, each polled again a period after its last answer, through few connections. A
** binary heap of moments says whose turn is next. The first polls are spread over one period by chance,
** as the library does it; after that it is measured.
**
**   floor waiting URL CONNECTIONS JOBS PERIOD SECONDS
**
** URL ends where a job's number follows.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "floor.h"

struct turn {
  double at;
  size_t job;
};

static struct slot slots[MAX_SLOTS];
static struct slot *idle; /* a list of slots that do nothing */
static struct turn *heap;
static size_t turns;
static double period;
static long polls;

/* ---------------------------------------------------------------------- the heap */

static void put(struct turn t) {
  size_t i = turns++;
  for (; i > 0 && heap[(i - 1) / 2].at > t.at; i = (i - 1) / 2)
    heap[i] = heap[(i - 1) / 2];
  heap[i] = t;
}

static struct turn take(void) {
  struct turn first = heap[0], last = heap[--turns];
  size_t i = 0, child;
  while ((child = 2 * i + 1) < turns) {
    if (child + 1 < turns && heap[child + 1].at < heap[child].at)
      child++;
    if (heap[child].at >= last.at)
      break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = last;
  return first;
}

/* ------------------------------------------------------------------------- polls */

static void finished(struct engine *e, struct slot *s) {
  (void)e;
  floor_check_answer(s);
  polls++;
  put((struct turn){.at = floor_now() + period, .job = s->job});
  s->next = idle;
  idle = s;
}

static void poll_next(struct engine *e, const char *url) {
  char whole[1024];
  struct slot *s = idle;
  idle = s->next;
  s->job = take().job;
  if (snprintf(whole, sizeof whole, "%s%024zx", url, s->job) >= (int)sizeof whole)
    floor_fail("the URL is too long");
  floor_check_easy(curl_easy_setopt(s->easy, CURLOPT_URL, whole));
  floor_start(e, s);
}

/* Polls whoever is due, until then. */
static void poll_until(struct engine *e, const char *url, double end) {
  double now;
  while ((now = floor_now()) < end) {
    while (idle != NULL && turns > 0 && heap[0].at <= now)
      poll_next(e, url);
    double next = idle != NULL && turns > 0 && heap[0].at < end ? heap[0].at : end;
    floor_turn(e, next);
  }
}

int floor_waiting(int argc, char **argv) {
  static struct engine e;
  if (argc < 6)
    floor_fail("usage: floor waiting URL CONNECTIONS JOBS PERIOD SECONDS");
  int connections = (int)floor_number(argv[2], MAX_SLOTS);
  size_t jobs = (size_t)floor_number(argv[3], 10000000);
  double seconds = (double)floor_number(argv[5], 3600);
  const struct way way = {.http2 = false};
  period = (double)floor_number(argv[4], 3600);

  floor_open(&e, &way, connections, finished);
  for (int i = 0; i < connections; i++) {
    floor_prepare(&slots[i], &e, &way, argv[1]);
    slots[i].next = idle;
    idle = &slots[i];
  }
  double began = floor_now();
  heap = calloc(jobs, sizeof *heap);
  if (heap == NULL)
    floor_fail("out of memory");
  for (size_t i = 0; i < jobs; i++)
    put((struct turn){.at = began + drand48() * period, .job = i + 1});
  poll_until(&e, argv[1], began + period);

  double cpu = floor_cpu();
  polls = 0;
  poll_until(&e, argv[1], began + period + seconds);
  printf("{\"polls\":%ld,\"cpu\":%.6f}\n", polls, floor_cpu() - cpu);
  return EXIT_SUCCESS; /* with requests under way: the system cleans up */
}
