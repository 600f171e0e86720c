/* sink, the memory half: see sink.h. */
#include "sink.h"

#include <stdlib.h> /* realloc */
#include <string.h> /* memcpy */

enum { KEPT = 16 * 1024 }; /* an allocation up to this size waits for the next body */

bool akl_memory_write(struct akl_memory *m, const char *bytes, size_t size) {
  if (m->size + size > m->capacity) {
    size_t capacity = m->capacity == 0 ? 1024 : m->capacity;
    while (capacity < m->size + size)
      capacity *= 2;
    char *data = realloc(m->data, capacity);
    if (data == NULL)
      return false;
    m->data = data;
    m->capacity = capacity;
  }
  memcpy(m->data + m->size, bytes, size);
  m->size += size;
  return true;
}

void akl_memory_reset(struct akl_memory *m) {
  if (m->capacity > KEPT)
    akl_memory_free(m);
  m->size = 0;
}

void akl_memory_free(struct akl_memory *m) {
  free(m->data);
  *m = (struct akl_memory){0};
}
