/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/secure.h"

static struct tls_pem
pem_of(const struct config *c, const struct cfg_pem *pem)
{
    return (struct tls_pem){pem->name.len ? cfg_string(c, pem->name) : NULL, cfg_text(c, pem->text)};
}

int
secure_context_new(const struct config *c, uint32_t index, struct tls_context **ret, char *why,
                   size_t why_size)
{
    const struct cfg_tls *tls = cfg_tls(c, index);
    const struct tls_settings settings = {.ca = pem_of(c, &tls->ca),
                                          .cert = pem_of(c, &tls->cert),
                                          .key = pem_of(c, &tls->key),
                                          .verify = tls->verify};

    return tls_context_new(&settings, ret, why, why_size);
}
