/* settings: see settings.h. */
#include "settings.h"

#include <stdlib.h> /* calloc */

struct akl_settings *akl_settings_new(void) {
  struct akl_settings *s = calloc(1, sizeof *s);
  if (s != NULL)
    s->refs = 1;
  return s;
}

struct akl_settings *akl_settings_ref(struct akl_settings *s) {
  s->refs++;
  return s;
}

void akl_settings_unref(struct akl_settings *s) {
  if (s == NULL || --s->refs > 0)
    return;
  free(s->proxy);
  free(s->ca_file);
  free(s->agent);
  free(s);
}
