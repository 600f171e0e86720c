/*
** host: a program that knows nothing of Lua. It loads a plugin that does and, like VLC and OBS, keeps
** what the plugin brings along to itself (RTLD_LOCAL).
**
**   host PLUGIN SCRIPT
*/
#include <dlfcn.h>  /* dlopen */
#include <stdio.h>  /* fprintf */
#include <string.h> /* memcpy */

int main(int count, char **words) {
  int (*run)(const char *script) = NULL;
  void *plugin = count == 3 ? dlopen(words[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  void *found = plugin == NULL ? NULL : dlsym(plugin, "run");
  if (found == NULL) {
    (void)fprintf(stderr, "%s\n", count == 3 ? dlerror() : "usage: host PLUGIN SCRIPT");
    return 2;
  }
  memcpy(&run, &found, sizeof run); /* ISO C has no cast for this */
  return run(words[2]);
}
