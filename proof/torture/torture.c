/*
** torture: fails every allocation of every scenario, one at a time, and prints what came of it. Each
** cell of its table (a scenario, a kind of memory, a mode) is run by a process of its own, so that a
** crash or a hang costs one index and has a name. Started by ./dev torture, through proof/torture/run.
*/
#include <errno.h>    /* EINTR */
#include <getopt.h>   /* getopt_long */
#include <stdio.h>    /* printf */
#include <stdlib.h>   /* exit */
#include <string.h>   /* strcmp */
#include <sys/mman.h> /* mmap */
#include <sys/wait.h> /* waitpid */
#include <unistd.h>   /* fork, alarm */

#include "trial.h"

enum {
  WORKERS_MAX = 16,
  LIMIT = 2,          /* seconds for one index */
  LONG_LIMIT = 20,    /* once more for one that took longer: less than any deadline of a scenario */
  COMPLAINTS_MAX = 4, /* of one cell; then it is given up */
  SANITIZER = 86,     /* the exit code that the sanitizers are told to use */
};

/* Sanitizers take their options from here. lua-cjson does not free its buffer when Lua has no memory
** for the text or the table that it makes: a leak of that library, which no caller of it can mend. */
const char *__asan_default_options(void);      // NOLINT
const char *__lsan_default_options(void);      // NOLINT
const char *__lsan_default_suppressions(void); // NOLINT
const char *__asan_default_options(void) {     // NOLINT
  return "exitcode=86:allocator_may_return_null=1";
}
const char *__lsan_default_options(void) { // NOLINT
  return "print_suppressions=0";
}
const char *__lsan_default_suppressions(void) { // NOLINT
  return "leak:/cjson.so\n";
}

/* {====== Cells ====== */

/* In memory that the worker shares with us. */
struct cell {
  long index;        /* where the worker is */
  long asked, tried; /* allocations of the undisturbed scenario; failures planned so far */
  long ends[TRIAL_ENDS];
  bool done;
  int complaints;
  struct {
    long index;
    char words[TRIAL_WORDS];
  } complaint[COMPLAINTS_MAX];
};

/* The columns of the table. */
struct column {
  const char *name;
  enum memory_kind kind;
  enum memory_mode mode;
};

static const struct column columns[] = {
    {"lua-once", MEMORY_LUA, MEMORY_ONCE},       {"lua-twice", MEMORY_LUA, MEMORY_TWICE},
    {"lua-always", MEMORY_LUA, MEMORY_ALWAYS},   {"curl-once", MEMORY_CURL, MEMORY_ONCE},
    {"curl-always", MEMORY_CURL, MEMORY_ALWAYS}, {"core-once", MEMORY_CORE, MEMORY_ONCE},
    {"core-always", MEMORY_CORE, MEMORY_ALWAYS},
};
enum { COLUMNS = sizeof columns / sizeof *columns };

static struct {
  const char *only, *mode;
  long index;   /* -1: all */
  long shallow; /* at most so many of a cell, evenly spread; 0: all */
  int workers;
} options = {.index = -1, .shallow = 400, .workers = 1};

static struct cell (*cells)[COLUMNS];
static const char **names;
static int scenarios;

static void complain(struct cell *c, const char *words) {
  if (c->complaints < COMPLAINTS_MAX) {
    c->complaint[c->complaints].index = c->index;
    (void)snprintf(c->complaint[c->complaints].words, TRIAL_WORDS, "%s", words);
  }
  c->complaints++;
}

/* ============================================================ }
** {====== The worker ====== */

/* How far the indexes of a cell are apart. */
static long stride(const struct cell *c) {
  if (options.shallow == 0 || c->asked <= options.shallow)
    return 1;
  return (c->asked + options.shallow - 1) / options.shallow;
}

/* One index. True if its allocation was there to be refused. */
static bool try_index(struct cell *c, struct trial *t, long index) {
  c->index = t->index = index;
  trial_run(t);
  if (t->complaint[0] != '\0')
    complain(c, t->complaint);
  else if (index > 0 && t->refused)
    c->ends[t->end]++;
  return t->refused;
}

/* Two undisturbed rounds: the first leaves behind what libraries keep for ever, the second shows
** that the scenario is sound and how many allocations it has. */
static bool rehearse(struct cell *c, struct trial *t) {
  int before = c->complaints;
  for (int i = 0; i < 2; i++) {
    (void)alarm(LONG_LIMIT);
    (void)try_index(c, t, 0);
  }
  c->asked = t->asked;
  if (c->complaints == before && t->end != TRIAL_COMPLETED)
    complain(c, "it does not complete although nothing fails");
  return c->complaints == before;
}

/* Run a cell from 'first' on, giving that one 'patience' seconds. SIGALRM ends us if it must. */
static void work(struct cell *c, const char *scenario, const struct column *column, long first,
                 unsigned patience) {
  struct trial t = {.scenario = scenario, .kind = column->kind, .mode = column->mode};
  if (!memory_init() || !trial_open()) {
    complain(c, "the service did not start");
    c->done = true;
    return;
  }
  bool more = rehearse(c, &t) && options.index != 0;
  for (long index = first; more && c->complaints < COMPLAINTS_MAX;) {
    (void)alarm(index == first ? patience : LIMIT);
    more = try_index(c, &t, index) && options.index < 0;
    c->tried += t.refused;
    index += stride(c);
  }
  (void)alarm(0);
  c->done = true;
  trial_close();
}

/* ============================================================ }
** {====== Those who run the workers ====== */

struct worker {
  struct cell *cell;
  const char *scenario;
  const struct column *column;
  long first;
  pid_t pid;
  unsigned patience;
};

static void start(struct worker *w) {
  (void)fflush(NULL);
  w->pid = fork();
  if (w->pid == 0) {
    work(w->cell, w->scenario, w->column, w->first, w->patience);
    exit(0);
  }
  if (w->pid < 0) {
    complain(w->cell, "no process could be started for it");
    w->cell->done = true;
  }
}

/* A worker has ended: note why, and start another one for the rest of its cell. True if so. */
static bool ended(struct worker *w, int status) {
  struct cell *c = w->cell;
  char words[TRIAL_WORDS] = "";
  bool hung = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
  if (hung && w->patience == LIMIT && c->index > 0) { /* or the machine was busy */
    w->first = c->index;
    w->patience = LONG_LIMIT;
    start(w);
    return w->pid > 0;
  }
  if (hung)
    (void)snprintf(words, sizeof words, "it hangs");
  else if (WIFSIGNALED(status))
    (void)snprintf(words, sizeof words, "a crash: %s", strsignal(WTERMSIG(status)));
  else if (WEXITSTATUS(status) == SANITIZER)
    (void)snprintf(words, sizeof words, "%s", c->done ? "a leak, somewhere in these" : "a crash");
  else if (WEXITSTATUS(status) != 0 || !c->done)
    (void)snprintf(words, sizeof words, "an exit with code %d", WEXITSTATUS(status));
  if (words[0] != '\0')
    complain(c, words);
  if (c->done || c->complaints >= COMPLAINTS_MAX || options.index >= 0 || c->index == 0)
    return false;
  c->tried++;
  w->first = c->index + stride(c);
  w->patience = LIMIT;
  start(w);
  return w->pid > 0;
}

static bool wanted(int scenario, int column) {
  return (options.only == NULL || strcmp(options.only, names[scenario]) == 0) &&
         (options.mode == NULL ||
          strncmp(options.mode, columns[column].name, strlen(options.mode)) == 0);
}

/* The next cell that is wanted, from '*next' on; false if there is none. */
static bool next_cell(int *next, struct worker *w) {
  for (; *next < scenarios * COLUMNS; (*next)++) {
    int row = *next / COLUMNS, column = *next % COLUMNS;
    if (!wanted(row, column))
      continue;
    *w = (struct worker){.cell = &cells[row][column],
                         .scenario = names[row],
                         .column = &columns[column],
                         .first = options.index > 0 ? options.index : 1,
                         .patience = LIMIT};
    (*next)++;
    return true;
  }
  return false;
}

static void run_all(void) {
  struct worker workers[WORKERS_MAX] = {0};
  int next = 0, busy = 0, status;
  for (int i = 0; i < options.workers; i++)
    if (next_cell(&next, &workers[i])) {
      start(&workers[i]);
      busy++;
    }
  while (busy > 0) {
    pid_t pid = waitpid(-1, &status, 0);
    if (pid < 0 && errno != EINTR)
      return;
    for (int i = 0; i < options.workers; i++) {
      if (pid <= 0 || workers[i].pid != pid || ended(&workers[i], status))
        continue;
      workers[i].pid = 0;
      if (next_cell(&next, &workers[i]))
        start(&workers[i]);
      else
        busy--;
    }
  }
}

/* ============================================================ }
** {====== The table ====== */

static void print_head(void) {
  (void)printf("%-20s", "scenario");
  for (int i = 0; i < COLUMNS; i++)
    (void)printf(" %11s", columns[i].name);
  (void)printf(" %10s %7s %7s  %s\n", "completed", "failed", "raised", "result");
}

static void print_row(int row) {
  long ends[TRIAL_ENDS] = {0};
  int bad = 0;
  bool any = false;
  for (int i = 0; i < COLUMNS; i++)
    any = any || wanted(row, i);
  if (!any)
    return;
  (void)printf("%-20s", names[row]);
  for (int i = 0; i < COLUMNS; i++) {
    const struct cell *c = &cells[row][i];
    for (int j = 0; j < TRIAL_ENDS; j++)
      ends[j] += c->ends[j];
    bad += c->complaints;
    if (wanted(row, i))
      (void)printf(" %11ld", c->tried);
    else
      (void)printf(" %11s", "-");
  }
  (void)printf(" %10ld %7ld %7ld  ", ends[TRIAL_COMPLETED], ends[TRIAL_FAILED], ends[TRIAL_RAISED]);
  if (bad == 0)
    (void)printf("ok\n");
  else
    (void)printf("%d WRONG\n", bad);
}

/* What was wrong, cell by cell; how many things in all. */
static int print_complaints(void) {
  int bad = 0;
  for (int row = 0; row < scenarios; row++)
    for (int i = 0; i < COLUMNS; i++) {
      const struct cell *c = &cells[row][i];
      bad += c->complaints;
      for (int j = 0; j < c->complaints && j < COMPLAINTS_MAX; j++)
        (void)printf("\n%s %s %ld: %s\n", names[row], columns[i].name, c->complaint[j].index,
                     c->complaint[j].words);
    }
  return bad;
}

static int print_all(void) {
  long tried = 0;
  int rows = 0;
  print_head();
  for (int row = 0; row < scenarios; row++) {
    bool any = false;
    print_row(row);
    for (int i = 0; i < COLUMNS; i++) {
      tried += cells[row][i].tried;
      any = any || wanted(row, i);
    }
    rows += any;
  }
  int bad = print_complaints();
  (void)printf("\n%ld failures in %d scenarios, %d wrong: %s\n", tried, rows, bad,
               bad == 0 && rows > 0 ? "passed" : "FAILED");
  (void)printf("One alone: ./dev torture --only SCENARIO --mode MODE --index N\n");
  return bad == 0 && rows > 0 ? 0 : 1;
}

/* ============================================================ } */

static bool read_options(int argc, char **argv) {
  static const struct option known[] = {{"only", required_argument, NULL, 'o'},
                                        {"mode", required_argument, NULL, 'm'},
                                        {"index", required_argument, NULL, 'i'},
                                        {"shallow", required_argument, NULL, 's'},
                                        {"workers", required_argument, NULL, 'w'},
                                        {"full", no_argument, NULL, 'f'},
                                        {NULL, 0, NULL, 0}};
  int option;
  while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
    if (option == 'o')
      options.only = optarg;
    else if (option == 'm')
      options.mode = optarg;
    else if (option == 'i')
      options.index = strtol(optarg, NULL, 10);
    else if (option == 's')
      options.shallow = strtol(optarg, NULL, 10);
    else if (option == 'f')
      options.shallow = 0;
    else if (option == 'w')
      options.workers = (int)strtol(optarg, NULL, 10);
    else
      return false;
  }
  return options.workers > 0 && options.workers <= WORKERS_MAX && optind == argc;
}

int main(int argc, char **argv) {
  if (!read_options(argc, argv)) {
    (void)fprintf(stderr, "usage: ./dev torture [--only SCENARIO] [--mode MODE] [--index N] "
                          "[--shallow N] [--full]\n");
    return 2;
  }
  names = trial_scenarios();
  while (names[scenarios] != NULL)
    scenarios++;
  size_t size = sizeof(struct cell[COLUMNS]) * (size_t)scenarios;
  cells = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (cells == MAP_FAILED) {
    perror("torture");
    return 2;
  }
  run_all();
  return print_all();
}
