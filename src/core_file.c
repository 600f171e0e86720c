/*
** core, files: what is done with files of this machine without an op, and the digest that goes with
** them. It blocks for as long as the disk takes.
*/
#include <lauxlib.h>
#include <string.h> /* strlen */

#include "compat.h"
#include "core.h"
#include "crypto.h"
#include "sink.h"

/* [-0, +0, e] The path at 'index'; NULL if no path can be like that: then nil and an error are pushed. */
static const char *check_path(lua_State *L, int index, const char *what) {
  size_t size;
  const char *path = luaL_checklstring(L, index, &size);
  if (strlen(path) == size)
    return path;
  (void)akl_core_refuse(L, AKL_CAUSE_FILE_UNUSABLE, what, "has a zero byte in it");
  return NULL;
}

/* [-0, +2, m] Push nil and the error that the op carries. */
static int fail(lua_State *L, const struct akl_op *op) {
  lua_pushnil(L);
  akl_core_push_error(L, &op->call.error, NULL, NULL);
  return 2;
}

/* core.try_path(settings, path): could a download write there? True, or nil and an error. Leaves
** nothing behind. */
static int core_try_path(lua_State *L) {
  const struct akl_settings *s = akl_core_check_settings(L, 1);
  const char *path = check_path(L, 2, "The output path");
  if (path == NULL || !akl_core_new_op(L, 0)) /* only to own the error while Lua makes its table */
    return 2;
  struct akl_op *op = lua_touserdata(L, -1);
  if (!akl_file_try(path, s->overwrite, &op->call.error))
    return fail(L, op);
  lua_pushboolean(L, 1);
  return 1;
}

/* core.copy(settings, from, to): a file like that of a download, { path, bytes, sha256 }, or nil and an
** error. */
static int core_copy(lua_State *L) {
  struct akl_copied copied;
  const struct akl_settings *s = akl_core_check_settings(L, 1);
  const char *from = check_path(L, 2, "The path of the file to copy");
  const char *to = from == NULL ? NULL : check_path(L, 3, "The output path");
  if (to == NULL || !akl_core_new_op(L, 0))
    return 2;
  struct akl_op *op = lua_touserdata(L, -1);
  if (!akl_file_copy(from, to, s->overwrite, &copied, &op->call.error))
    return fail(L, op);
  akl_core_push_file(L, to, copied.size, copied.sha256);
  return 1;
}

/* core.sha256(text): its digest as lower-case hex. nil when memory runs out. */
static int core_sha256(lua_State *L) {
  size_t size;
  const char *text = luaL_checklstring(L, 1, &size);
  char hex[AKL_SHA256_HEX + 1];
  struct akl_sha256 *d = akl_sha256_new();
  bool fine = d != NULL && akl_sha256_update(d, text, size) && akl_sha256_finish(d, hex);
  akl_sha256_free(d);
  if (!fine)
    return 0;
  lua_pushstring(L, hex);
  return 1;
}

const luaL_Reg akl_core_file_functions[] = {
    {"try_path", core_try_path},
    {"copy", core_copy},
    {"sha256", core_sha256},
    {NULL, NULL},
};
