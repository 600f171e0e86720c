/* canary: a Lua module that does wrong on request, so that a run in which nothing was found is known
** to be one in which something would have been found. */
#include <limits.h> /* INT_MAX */
#include <stdlib.h> /* malloc */

#include <lauxlib.h>

static int overflow(lua_State *L) {
  volatile char *block = malloc(8);
  if (block == NULL)
    return luaL_error(L, "memory ran out");
  volatile size_t past = 8;
  lua_pushinteger(L, block[past]); // NOLINT: it is there for that
  free((void *)block);
  return 1;
}

static int after_free(lua_State *L) {
  volatile char *block = calloc(1, 8);
  free((void *)block);
  lua_pushinteger(L, block == NULL ? 0 : block[0]); // NOLINT
  return 1;
}

static int leak(lua_State *L) {
  for (int i = 0; i < 16; i++) { /* so that no stale register still points to all of them */
    volatile char *block = malloc(100);
    if (block != NULL)
      block[0] = 1;
  }
  lua_pushboolean(L, 1);
  return 1;
}

static int undefined(lua_State *L) {
  volatile int most = INT_MAX;
  lua_pushinteger(L, most + 1);
  return 1;
}

static const luaL_Reg CRIMES[] = {
    {"overflow", overflow}, {"after_free", after_free}, {"leak", leak}, {"undefined", undefined},
    {NULL, NULL},
};

int luaopen_canary(lua_State *L);

int luaopen_canary(lua_State *L) {
  luaL_newlib(L, CRIMES);
  return 1;
}
