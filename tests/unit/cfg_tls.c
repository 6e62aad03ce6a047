/* SPDX-License-Identifier: Apache-2.0 */
/* The files that https:// upstreams need become a part of the configuration. */
#include "cfg_helper.h"

static bool
holds(const struct config *c, struct cfg_text t, const char *want)
{
    return text_eq(cfg_text(c, t), text_of(want));
}

Test(cfg_tls, reads_the_files_of_the_flags)
{
    struct cfg_result r;

    write_file("ca.pem", "the CA\n");
    write_file("cert.pem", "the certificate\n");
    write_file("key.pem", "the key\n");
    MUST_LOAD(&r, "--upstream=a=https://a/mcp", "--upstream-ca=ca.pem", "--upstream-cert=cert.pem",
              "--upstream-key=key.pem");
    const struct cfg_tls *tls = cfg_tls(r.config, cfg_upstream(r.config, 0)->tls);
    cr_assert(tls->verify && !tls->is_system_ca);
    cr_assert(holds(r.config, tls->ca.name, "ca.pem") && holds(r.config, tls->ca.text, "the CA\n"));
    cr_assert(holds(r.config, tls->cert.name, "cert.pem") &&
              holds(r.config, tls->cert.text, "the certificate\n"));
    cr_assert(holds(r.config, tls->key.name, "key.pem") && holds(r.config, tls->key.text, "the key\n"));
    cfg_done(&r);
}

Test(cfg_tls, believes_the_systems_CAs_when_none_are_named)
{
    struct cfg_result r;

    write_file("system.pem", "those of the system\n");
    setenv("SSL_CERT_FILE", "system.pem", 1);
    MUST_LOAD(&r, "--route=/a=https://a");
    const struct cfg_tls *tls = cfg_tls(r.config, cfg_upstream(r.config, 0)->tls);
    cr_assert(tls->verify && tls->is_system_ca && holds(r.config, tls->ca.text, "those of the system\n"));
    cr_assert(tls->cert.name.len == 0 && tls->key.name.len == 0);
    cfg_done(&r);
}

Test(cfg_tls, opens_no_file_that_nobody_needs)
{
    struct cfg_result r;

    MUST_LOAD(&r, "--upstream=a=http://a/mcp", "--upstream-ca=absent.pem");
    cr_assert_eq(r.config->tls.count, 0);
    cfg_done(&r);
    MUST_LOAD(&r, "--upstream=a=https://a/mcp", "--upstream-ca=absent.pem", "--upstream-verify=off");
    cr_assert_not(cfg_tls(r.config, 0)->verify);
    cfg_done(&r);
}

Test(cfg_tls, lets_each_server_of_a_file_have_its_own)
{
    struct cfg_result r;

    write_file("ca.pem", "common\n");
    write_file("own.pem", "own\n");
    write_file("cert.pem", "c\n");
    write_file("key.pem", "k\n");
    write_file("mcp.json", "{\"mcpServers\": {"
                           "\"a\": {\"url\": \"https://a\", \"tls\": {\"ca\": \"own.pem\", \"cert\": "
                           "\"cert.pem\", \"key\": \"key.pem\"}},"
                           "\"b\": {\"url\": \"https://b\"},"
                           "\"c\": {\"url\": \"https://c\", \"tls\": {\"verify\": false}},"
                           "\"d\": {\"url\": [\"http://d\", \"https://d\"]}},"
                           "\"mcpgate\": {\"upstream-ca\": \"ca.pem\", \"mode\": \"path\"}}");
    MUST_LOAD(&r, "--config=mcp.json");
    const struct config *c = r.config;
    const struct cfg_tls *a = cfg_tls(c, cfg_upstream(c, 0)->tls), *b = cfg_tls(c, cfg_upstream(c, 1)->tls);
    cr_assert(holds(c, a->ca.text, "own\n") && holds(c, a->cert.text, "c\n") && holds(c, a->key.text, "k\n"));
    cr_assert(holds(c, b->ca.text, "common\n") && b->cert.name.len == 0);
    cr_assert_not(cfg_tls(c, cfg_upstream(c, 2)->tls)->verify);
    cr_assert_eq(cfg_upstream(c, 3)->tls, cfg_upstream(c, 1)->tls, "what is alike is there once");
    cr_assert_eq(c->tls.count, 3);
    const struct cfg_endpoint *mixed = cfg_endpoints(c, cfg_upstream(c, 3));
    cr_assert(!mixed[0].is_tls && mixed[0].port == 80 && mixed[1].is_tls && mixed[1].port == 443);
    cr_assert(holds(c, mixed[1].authority, "d"), "443 is the scheme's port");
    cfg_done(&r);
}

Test(cfg_tls, names_the_file_that_cannot_be_read_and_the_way_out)
{
    write_file("x.pem", "x\n");
    MUST_FAIL("mcpgate: --upstream-ca: absent.pem: cannot be opened: No such file or directory: name a PEM "
              "file that this "
              "user may read",
              "--upstream=a=https://a", "--upstream-ca=absent.pem");
    MUST_FAIL(
        "mcpgate: --upstream-ca: /dev/zero: is larger than 4096 KiB: name a PEM file that this user may read",
        "--upstream=a=https://a", "--upstream-ca=/dev/zero");
    MUST_FAIL("mcpgate: --upstream-cert: a client certificate needs both its file and that of its key: set "
              "--upstream-key",
              "--upstream=a=https://a", "--upstream-ca=x.pem", "--upstream-cert=x.pem");
    MUST_FAIL("mcpgate: --upstream-key: a client certificate needs both its file and that of its key: set "
              "--upstream-cert",
              "--upstream=a=https://a", "--upstream-ca=x.pem", "--upstream-key=x.pem");
    write_file("mcp.json",
               "{\"mcpServers\": {\"a\": {\"url\": \"https://a\",\n\"tls\": {\"cert\": \"x.pem\"}}}}");
    MUST_FAIL("mcpgate: mcp.json:2:17: a.tls.cert: a client certificate needs both its file and that of its "
              "key: set key",
              "--config=mcp.json", "--upstream-ca=x.pem");
}

Test(cfg_tls, is_printed_as_it_was_written_without_the_files)
{
    struct cfg_result r;
    char *text;

    write_file("ca.pem", "common\n");
    write_file("cert.pem", "c\n");
    write_file("key.pem", "SECRET\n");
    write_file("mcp.json",
               "{\"mcpServers\": {\"a\": {\"url\": \"https://a\", \"tls\": {\"cert\": \"cert.pem\", \"key\": "
               "\"key.pem\", \"verify\": false}}}}");
    MUST_LOAD(&r, "--config=mcp.json");
    text = printed(cfg_print_config, r.config);
    cr_assert_null(strstr(text, "SECRET"));
    cr_assert_not_null(strstr(text, "\"cert\": \"cert.pem\""));
    cr_assert_not_null(strstr(text, "\"verify\": false"));
    free(text);
    cfg_done(&r);
}
