/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of CAs, certificates and keys that https:// upstreams need. Their bytes become a part of the
 * configuration, as it is the supervisor that may read them: the workers have dropped the right to. What is
 * in them net/tls_context.h judges.
 */
#include "base/check.h"
#include "cfg/draft.h"
#include "cfg/paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { PEM_MAX = 4 << 20 };

const char *const tls_file_keys[TLS_FILES] = {[TLS_CA] = "ca", [TLS_CERT] = "cert", [TLS_KEY] = "key"};

static const char *const flags[TLS_FILES] = {
    [TLS_CA] = "upstream-ca", [TLS_CERT] = "upstream-cert", [TLS_KEY] = "upstream-key"};

static bool
needs_tls(const struct server *server)
{
    for (uint32_t i = 0; i < server->urls.count; i++) {
        if (strncasecmp(server->urls.at[i].text, "https:", 6) == 0 ||
            strncasecmp(server->urls.at[i].text, "wss:", 4) == 0)
            return true;
    }
    return false;
}

/* Where Debian, Red Hat, Alpine and SUSE keep all CAs in one file. */
static const char *
system_ca(void)
{
    static const char *const places[] = {"/etc/ssl/certs/ca-certificates.crt",
                                         "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem",
                                         "/etc/ssl/ca-bundle.pem"};
    const char *own = getenv("SSL_CERT_FILE");

    if (own && *own)
        return own;
    for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
        if (access(places[i], R_OK) == 0)
            return places[i];
    }
    return NULL;
}

/* The server's own file, or the flag's. A certificate and its key come from one place. */
static struct item
choose_file(struct draft *d, const struct server *server, enum tls_file file)
{
    bool has_own = file == TLS_CA ? server->tls[TLS_CA].text != NULL
                                  : server->tls[TLS_CERT].text != NULL || server->tls[TLS_KEY].text != NULL;
    const struct setting *setting = draft_setting(d, flags[file]);

    if (!has_own)
        return (struct item){setting->text.text, setting->origin};
    return server->tls[file].text ? server->tls[file]
                                  : (struct item){"", server->tls[TLS_CERT + TLS_KEY - file].origin};
}

/* A certificate without its key, or the reverse. */
static int
fail_half(struct draft *d, const struct server *server, const struct tls_choice *choice)
{
    enum tls_file given = choice->files[TLS_CERT].text[0] ? TLS_CERT : TLS_KEY,
                  missing = TLS_CERT + TLS_KEY - given;
    bool is_own = server->tls[given].text != NULL;

    return draft_fail(d, &choice->files[given].origin,
                      "a client certificate needs both its file and that of its key: set %s%s",
                      is_own ? "" : "--", is_own ? tls_file_keys[missing] : flags[missing]);
}

static int
choose_files(struct draft *d, const struct server *server, struct tls_choice *ret)
{
    *ret = (struct tls_choice){
        .verify = server->has_verify ? server->verify : draft_setting(d, "upstream-verify")->number != 0};
    for (unsigned i = 0; i < TLS_FILES; i++)
        ret->files[i] = choose_file(d, server, (enum tls_file)i);
    if (!ret->files[TLS_CERT].text[0] != !ret->files[TLS_KEY].text[0])
        return fail_half(d, server, ret);
    if (ret->verify && !ret->files[TLS_CA].text[0]) {
        ret->is_system_ca = true;
        ret->files[TLS_CA].text = system_ca();
        if (!ret->files[TLS_CA].text)
            return draft_fail(d, &ret->files[TLS_CA].origin,
                              "this system has no CAs for %.64s: install ca-certificates, or name a file",
                              server->name);
    }
    return 0;
}

static bool
is_same(const struct tls_choice *a, const struct tls_choice *b)
{
    bool same = a->verify == b->verify;

    for (unsigned i = 0; i < TLS_FILES; i++)
        same = same && strcmp(a->files[i].text, b->files[i].text) == 0;
    return same;
}

static int
read_files(struct draft *d, struct tls_choice *choice)
{
    for (unsigned i = 0; i < TLS_FILES; i++) {
        const struct item *file = &choice->files[i];

        if (file->text[0] && (i != TLS_CA || choice->verify) &&
            draft_read_whole(d, file->text, &file->origin, PEM_MAX, "name a PEM file that this user may read",
                             &choice->pem[i]) < 0)
            return -EINVAL;
    }
    return 0;
}

int
draft_load_tls(struct draft *d)
{
    d->tls = arena_get(&d->arena, (d->servers_count + 1) * sizeof *d->tls);
    for (uint32_t i = 0; i < d->servers_count; i++) {
        struct server *server = &d->servers[i];
        struct tls_choice *choice = &d->tls[d->tls_count];

        if (!needs_tls(server))
            continue;
        if (choose_files(d, server, choice) < 0)
            return -EINVAL;
        server->tls_index = 0;
        while (!is_same(&d->tls[server->tls_index], choice))
            server->tls_index++;
        if (server->tls_index < d->tls_count)
            continue;
        d->tls_count++;
        if (read_files(d, choice) < 0)
            return -EINVAL;
    }
    return 0;
}
