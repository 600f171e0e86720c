/*
** delivery: what the service calls back with, sealed. Source: the Webhook page of Akool's
** documentation, and what its callers report.
**
** The key of AES-CBC is the client secret, the IV the first 16 bytes of the client id, the signature a
** SHA-1 without any secret of its own. Whoever knows the client id can sign, so opening must not be
** an oracle: all steps are done, whichever of them fail, and it is not said which did.
*/
#ifndef AKL_DELIVERY_H
#define AKL_DELIVERY_H

#include <stdbool.h>
#include <stddef.h>

#include "crypto.h"

enum { AKL_DELIVERY_MAX = 64 * 1024 }; /* bytes of a sealed text */

/* All borrowed. The secret has 16, 24 or 32 bytes; timestamp and nonce are as they were written. */
struct akl_sealing {
  struct akl_piece client_id, client_secret;
  struct akl_piece timestamp, nonce;
};

/* Can a secret of this size be a key? */
bool akl_delivery_key_fits(size_t size);

/* How large 'out' has to be for akl_delivery_open, or for akl_delivery_seal with its zero byte. */
size_t akl_delivery_opened_room(size_t sealed);
size_t akl_delivery_sealed_room(size_t text);

/* Open 'sealed' (base64) into 'out' and set '*size'. False when it is not what the service sealed and
** signed; 'out' holds some bytes then, too, to be read all the same and thrown away. 'starved' is set
** when memory ran out. */
bool akl_delivery_open(const struct akl_sealing *s, struct akl_piece signature,
                       struct akl_piece sealed, unsigned char *out, size_t *size, bool *starved);

/* Seal 'text' into 'out' (base64, a zero byte), and sign it. False when memory runs out. */
bool akl_delivery_seal(const struct akl_sealing *s, struct akl_piece text, char *out,
                       char signature[AKL_SHA1_HEX + 1]);

#endif
