/* threads: a program in C with the static library inside it and eight Lua states in eight threads,
** none of which knows of the others. Sanitizers look on. ThreadSanitizer: what they share (libcurl,
** libcrypto, whatever of ours were static) must be safe to share. ASan: a state that is closed, with
** or without work under way, leaves nothing behind.
**
**   threads LIFE URL API_KEY FOLDER ROUNDS   each thread leads the life so often
**   threads --race, threads --leak           does what must be reported: silence means something then
*/
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <akool/lipsync.h>
#include <lauxlib.h>
#include <lualib.h>

enum { THREADS = 8 };

static struct {
  const char *life, *url, *api_key, *folder;
  int rounds;
  pthread_barrier_t start; /* so that even the first opening of the module is a race */
} plan;

/* From a state and its arguments to the end of its life; an error message if it was cut short. */
static int lead(lua_State *L) {
  int thread = (int)lua_tointeger(L, 1), round = (int)lua_tointeger(L, 2);
  luaL_openlibs(L);
  (void)akool_lipsync_preload(L);
  if (luaL_loadfile(L, plan.life) != LUA_OK)
    return lua_error(L);
  lua_pushstring(L, plan.url);
  lua_pushstring(L, plan.api_key);
  lua_pushstring(L, plan.folder);
  lua_pushinteger(L, thread);
  lua_pushinteger(L, round);
  lua_call(L, 5, 0);
  return 0;
}

/* One thread, and how many of its states did not live as they should. */
struct member {
  pthread_t thread;
  int number, failures;
};

static void *run(void *member) {
  struct member *m = member;
  (void)pthread_barrier_wait(&plan.start);
  for (int round = 1; round <= plan.rounds; round++) {
    lua_State *L = luaL_newstate();
    if (L == NULL)
      abort();
    lua_pushcfunction(L, lead);
    lua_pushinteger(L, m->number);
    lua_pushinteger(L, round);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
      m->failures++;
      (void)fprintf(stderr, "thread %d, round %d: %s\n", m->number, round, lua_tostring(L, -1));
    }
    lua_close(L);
  }
  return NULL;
}

static void *count_up(void *counter) {
  for (int i = 0; i < 1000; i++)
    ++*(volatile int *)counter;
  return NULL;
}

static int race(void) {
  pthread_t a, b;
  int counter = 0;
  if (pthread_create(&a, NULL, count_up, &counter) != 0 ||
      pthread_create(&b, NULL, count_up, &counter) != 0)
    abort();
  (void)pthread_join(a, NULL);
  (void)pthread_join(b, NULL);
  return EXIT_SUCCESS;
}

static int leak(void) {
  for (int i = 0; i < 16; i++) { /* so that no stale register still points to all of them */
    volatile char *block = malloc(100);
    if (block != NULL)
      block[0] = 1;
  }
  return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
  struct member members[THREADS] = {0};
  int failures = 0;
  if (argc == 2 && strcmp(argv[1], "--race") == 0)
    return race();
  if (argc == 2 && strcmp(argv[1], "--leak") == 0)
    return leak(); // NOLINT: it is there for that
  if (argc != 6) {
    (void)fprintf(stderr,
                  "usage: threads LIFE URL API_KEY FOLDER ROUNDS | threads --race | --leak\n");
    return 2;
  }
  plan.life = argv[1];
  plan.url = argv[2];
  plan.api_key = argv[3];
  plan.folder = argv[4];
  plan.rounds = (int)strtol(argv[5], NULL, 10);
  if (pthread_barrier_init(&plan.start, NULL, THREADS) != 0)
    abort();
  for (int i = 0; i < THREADS; i++) {
    members[i].number = i + 1;
    if (pthread_create(&members[i].thread, NULL, run, &members[i]) != 0)
      abort();
  }
  for (int i = 0; i < THREADS; i++) {
    (void)pthread_join(members[i].thread, NULL);
    failures += members[i].failures;
  }
  printf("%d states in %d threads, %d failed\n", THREADS * plan.rounds, THREADS, failures);
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
