/* unwiped: preloaded into a program, it says on standard error when memory is freed that holds a secret and
** nothing else. Lines of the variable SECRETS say how these begin. What they are in besides are buffers of
** libcurl's, lua-cjson's and Lua's, which are not ours to wipe. */
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SPARE = 16 }; /* bytes that malloc may add to what was asked for */

void __libc_free(void *block);

static const char *secrets;

__attribute__((constructor)) static void begin(void) {
  secrets = getenv("SECRETS");
}

static int begins_with_secret(const char *block, size_t size) {
  const char *line = secrets;
  while (line != NULL && *line != '\0') {
    size_t length = strcspn(line, "\n");
    if (length > 0 && length <= size && memcmp(block, line, length) == 0)
      return 1;
    line += length;
    line += *line == '\n';
  }
  return 0;
}

void free(void *block) {
  size_t size = block == NULL ? 0 : malloc_usable_size(block);
  if (size > 0 && size - strnlen(block, size) <= SPARE && begins_with_secret(block, size))
    (void)!write(2, "a secret was not wiped\n", 23);
  __libc_free(block);
}
