/*
** plugin: the Lua of host.c. It runs a script and then calls the function `tick` that the script left
** every few milliseconds, until that returns false.
*/
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h> /* bool */
#include <stdio.h>   /* fprintf */
#include <time.h>    /* nanosleep */

static bool tick(lua_State *L, int *failed) {
  lua_getglobal(L, "tick");
  *failed = lua_pcall(L, 0, 1, 0);
  bool again = *failed == 0 && lua_toboolean(L, -1);
  if (*failed == 0)
    lua_pop(L, 1);
  return again;
}

int run(const char *script);

int run(const char *script) {
  const struct timespec pause = {.tv_nsec = 2000000};
  lua_State *L = luaL_newstate();
  if (L == NULL)
    return 2;
  luaL_openlibs(L);
  int failed = luaL_loadfile(L, script);
  if (failed == 0)
    failed = lua_pcall(L, 0, 0, 0);
  if (failed == 0)
    while (tick(L, &failed))
      (void)nanosleep(&pause, NULL);
  if (failed != 0)
    (void)fprintf(stderr, "%s\n", lua_tostring(L, -1));
  lua_close(L);
  return failed;
}
