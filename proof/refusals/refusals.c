/* refusals: linked into a build of the core whose calls to libcurl, libcrypto and the system pass
** through here (the linker's --wrap), so that any of them can be refused. What libcurl, Lua and Lua's
** other modules ask for themselves is not touched. To Lua this is a module beside the core:
**
**   refusals.arm(kind, mode, index)   refuse the index-th call of a kind ("once"), every one from it
**                                     on ("always"), or interrupt it by a signal ("signal"); 0: count
**   refusals.refused()                → the name of the first refused, if any was
**   refusals.disarm()                 → calls of that kind since arm(), and that name
**   refusals.pretend(version)         let libcurl have this version (0x080800); 0: its own. What it
**                                     does stays the same: this is for what we do on its account
*/
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <lauxlib.h>

#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

enum kind { NOTHING, MEMORY, LIBCURL, OPTIONS, LIBCRYPTO, POLLING, FILES };
enum mode { ONCE, ALWAYS, SIGNAL };

static struct {
  enum kind kind;
  enum mode mode;
  long index, asked;
  const char *refused;
  unsigned version;
} plan;

/* Those that a signal can interrupt: the others never say EINTR. */
static bool interruptible(const char *name) {
  return strcmp(name, "epoll_wait") == 0 || strcmp(name, "read") == 0 ||
         strcmp(name, "write") == 0 || strcmp(name, "open") == 0;
}

/* Is this call to be refused? Then errno says why. */
static bool refuses(enum kind kind, const char *name, int why) {
  if (plan.kind != kind || (plan.mode == SIGNAL && !interruptible(name)))
    return false;
  plan.asked++;
  if (plan.index == 0 || plan.asked < plan.index ||
      (plan.mode != ALWAYS && plan.asked > plan.index))
    return false;
  if (plan.refused == NULL)
    plan.refused = name;
  errno = plan.mode == SIGNAL ? EINTR : why;
  return true;
}

/* The names are the linker's.
** NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
#define REFUSE(kind, why, type, name, parameters, arguments, no)                                   \
  type __real_##name parameters;                                                                   \
  type __wrap_##name parameters;                                                                   \
  type __wrap_##name parameters {                                                                  \
    return refuses(kind, #name, why) ? (type)(no) : __real_##name arguments;                       \
  }
#define REFUSE_BY_HAND(kind, name)
#include "refusals.def"

CURLcode __real_curl_easy_setopt(CURL *easy, CURLoption option, ...);
CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...);
CURLcode __real_curl_easy_getinfo(CURL *easy, CURLINFO what, ...);
CURLcode __wrap_curl_easy_getinfo(CURL *easy, CURLINFO what, ...);
CURLMcode __real_curl_multi_setopt(CURLM *multi, CURLMoption option, ...);
CURLMcode __wrap_curl_multi_setopt(CURLM *multi, CURLMoption option, ...);
curl_version_info_data *__real_curl_version_info(CURLversion age);
curl_version_info_data *__wrap_curl_version_info(CURLversion age);
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);

/* libcurl's last argument is a long, a pointer or a curl_off_t: wherever this proof runs (64-bit
** Linux) they are passed alike. */
static void *last_of(va_list *arguments) {
  return va_arg(*arguments, void *);
}

CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...) {
  va_list arguments;
  va_start(arguments, option);
  void *value = last_of(&arguments);
  va_end(arguments);
  /* A larger buffer is only a wish; without any other option there must be no exchange. */
  enum kind kind = option == CURLOPT_BUFFERSIZE ? LIBCURL : OPTIONS;
  return refuses(kind, "curl_easy_setopt", 0) ? CURLE_OUT_OF_MEMORY
                                              : __real_curl_easy_setopt(easy, option, value);
}

CURLcode __wrap_curl_easy_getinfo(CURL *easy, CURLINFO what, ...) {
  va_list arguments;
  va_start(arguments, what);
  void *out = last_of(&arguments);
  va_end(arguments);
  return refuses(LIBCURL, "curl_easy_getinfo", 0) ? CURLE_BAD_FUNCTION_ARGUMENT
                                                  : __real_curl_easy_getinfo(easy, what, out);
}

CURLMcode __wrap_curl_multi_setopt(CURLM *multi, CURLMoption option, ...) {
  va_list arguments;
  va_start(arguments, option);
  void *value = last_of(&arguments);
  va_end(arguments);
  return refuses(LIBCURL, "curl_multi_setopt", 0) ? CURLM_OUT_OF_MEMORY
                                                  : __real_curl_multi_setopt(multi, option, value);
}

curl_version_info_data *__wrap_curl_version_info(CURLversion age) {
  static curl_version_info_data other;
  curl_version_info_data *truth = __real_curl_version_info(age);
  if (plan.version == 0)
    return truth;
  other = *truth;
  other.version_num = plan.version;
  return &other;
}

int __wrap_open(const char *path, int flags, ...) {
  mode_t mode = 0;
  if (flags & O_CREAT) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
  }
  return refuses(FILES, "open", EACCES) ? -1 : __real_open(path, flags, mode);
}

/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

/* {====== The module ====== */

static int arm(lua_State *L) {
  static const char *const KINDS[] = {"nothing",   "memory",  "libcurl", "options",
                                      "libcrypto", "polling", "files",   NULL};
  static const char *const MODES[] = {"once", "always", "signal", NULL};
  int kind = luaL_checkoption(L, 1, NULL, KINDS);
  plan.mode = (enum mode)luaL_checkoption(L, 2, NULL, MODES);
  plan.index = (long)luaL_checkinteger(L, 3);
  plan.asked = 0;
  plan.refused = NULL;
  plan.kind = (enum kind)kind;
  return 0;
}

static int refused(lua_State *L) {
  lua_pushstring(L, plan.refused);
  return 1;
}

static int disarm(lua_State *L) {
  plan.kind = NOTHING;
  lua_pushinteger(L, plan.asked);
  lua_pushstring(L, plan.refused);
  return 2;
}

static int pretend(lua_State *L) {
  plan.version = (unsigned)luaL_checkinteger(L, 1);
  return 0;
}

static const luaL_Reg FUNCTIONS[] = {
    {"arm", arm}, {"refused", refused}, {"disarm", disarm}, {"pretend", pretend}, {NULL, NULL}};

__attribute__((visibility("default"))) int luaopen_refusals(lua_State *L);

int luaopen_refusals(lua_State *L) {
  luaL_newlib(L, FUNCTIONS);
  return 1;
}

/* ============================================================ } */
