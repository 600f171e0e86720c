/*
** frames: a program with sixty frames a second, as a game has, that makes films meanwhile. Lua and
** the library are inside it: it needs no files but its script.
**
**   frames SCRIPT [ARGUMENT...]      such as: frames dub.lua
**
** The script is called with the arguments and returns a function, which is called in each frame
** until it returns something: that is printed. What it raises ends the program.
*/
#include <errno.h>  /* EINTR */
#include <stdio.h>  /* printf */
#include <stdlib.h> /* EXIT_FAILURE */
#include <time.h>   /* clock_nanosleep */

#include <akool/lipsync.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

static const long long SECOND = 1000000000, FRAME = 1000000000 / 60; /* in nanoseconds */

int luaopen_cjson(lua_State *L); /* lua-cjson's, which has no header of its own */

static long long now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * SECOND + t.tv_nsec;
}

static void sleep_until(long long moment) {
  struct timespec t = {.tv_sec = (time_t)(moment / SECOND), .tv_nsec = (long)(moment % SECOND)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
    continue;
}

/* The handler of errors: those of the library are tables that print well. */
static int explain(lua_State *L) {
  (void)luaL_callmeta(L, 1, "__tostring");
  return 1;
}

/* Takes argv, returns the function of the script. */
static int open_script(lua_State *L) {
  char **argv = lua_touserdata(L, 1);
  int arguments = 0;
  luaL_openlibs(L);
  (void)akool_lipsync_preload(L);
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "preload");
  lua_pushcfunction(L, luaopen_cjson);
  lua_setfield(L, -2, "cjson");

  if (luaL_loadfile(L, argv[1]) != 0)
    return lua_error(L);
  for (char **each = argv + 2; *each != NULL; each++, arguments++) {
    luaL_checkstack(L, 1, "too many arguments");
    lua_pushstring(L, *each);
  }
  lua_call(L, arguments, 1);
  luaL_checktype(L, -1, LUA_TFUNCTION);
  return 1;
}

/* Call the function on top, which has its handler of errors below it, once per frame, until it
** has something to say: that, or what it raised, is left on top. Returns the last call's status. */
static int run_frames(lua_State *L) {
  long long longest = 0, next = now();
  int frames = 0, status;
  do {
    if (frames > 0) {
      lua_pop(L, 1);
      next = next + FRAME > now() ? next + FRAME : now(); /* one that came late delays the rest */
      sleep_until(next);
    }
    const long long began = now();
    /* here a game moves and draws */
    lua_pushvalue(L, -1);
    status = lua_pcall(L, 0, 1, -3);
    const long long took = now() - began;
    longest = took > longest ? took : longest;
    frames++;
  } while (status == 0 && lua_isnil(L, -1));
  printf("%d frames, the longest %.2f ms of %.2f ms\n", frames, (double)longest / 1e6,
         (double)FRAME / 1e6);
  return status;
}

int main(int argc, char **argv) {
  if (argc < 2) {
    (void)fprintf(stderr, "usage: frames SCRIPT [ARGUMENT...]\n");
    return 2;
  }
  lua_State *L = luaL_newstate();
  if (L == NULL) {
    (void)fprintf(stderr, "frames: memory ran out\n");
    return EXIT_FAILURE;
  }
  lua_pushcfunction(L, explain);
  lua_pushcfunction(L, open_script);
  lua_pushlightuserdata(L, (void *)argv);
  int status = lua_pcall(L, 1, 1, -3);
  if (status == 0)
    status = run_frames(L);
  const char *said = lua_tostring(L, -1);
  (void)fprintf(status == 0 ? stdout : stderr, "%s\n", said != NULL ? said : "no words");
  lua_close(L);
  return status == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
