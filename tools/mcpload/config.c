/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of flags; see config.h. */
#include "config.h"

const struct flag stage_flags[] = {
#define FIELD(name) offsetof(struct stage_config, name)
    {"duration", FLAG_TIME, FIELD(duration_ns), "10s", "TIME", "of the measurement"},
    {"warmup", FLAG_TIME, FIELD(warmup_ns), "1s", "TIME", "before it"},
    {"cpu-of", FLAG_COUNT, FIELD(cpu_of), "0", "PID",
     "reports the processor time of this process and those below it"},
    {"cpu-without", FLAG_TEXT, FIELD(cpu_without), NULL, "NAME",
     "leaves processes of this name out of that, with those below them: what a bridge starts"},
    {"json", FLAG_TEXT, FIELD(json), NULL, "FILE",
     "writes the result there; -: stdout, and the table to stderr"},
    {"quiet", FLAG_SWITCH, FIELD(quiet), NULL, NULL, "neither plan nor progress"},
#undef FIELD
    {0},
};

const struct flag find_flags[] = {
#define FIELD(name) offsetof(struct find_config, name)
    {"find-rate", FLAG_SWITCH, FIELD(is_wanted), NULL, NULL,
     "looks for the highest rate, from --rate (or 1000) on: one run after the other, until the rate is known "
     "to a "
     "twentieth"},
    {"find-p99", FLAG_TIME, FIELD(p99_ns), "10ms", "TIME",
     "a rate counts when nothing fails, 99 of 100 of what was due comes, and its p99 is at most this"},
#undef FIELD
    {0},
};

const struct flag part_flags[] = {
    {"name", FLAG_TEXT, offsetof(struct part_config, name), NULL, "NAME", "what the report calls it"},
    {0},
};

const struct flag load_flags[] = {
#define FIELD(name) offsetof(struct load_config, name)
    {"url", FLAG_TEXT, FIELD(url), NULL, "URL", "http://HOST[:PORT]/PATH, or http+unix:/SOCKET:/PATH"},
    {"kind", FLAG_TEXT, FIELD(kind), NULL, "KIND",
     "http, mcp, or mcp-2026; by default mcp for paths below /mcp, else http"},
    {"connections", FLAG_COUNT, FIELD(connections), "64", "N",
     "connections that do requests, one at a time each"},
    {"rate", FLAG_RATE, FIELD(rate), "0", "R",
     "open loop: R requests a second whatever the replies do; 0: closed loop. With --connections 0 of the "
     "events: "
     "each stream asks mcpload serve for its share (?rate=)"},
    {"burst", FLAG_COUNT, FIELD(burst), "1", "N", "open loop: N at once, then a pause that keeps the rate"},
    {"timeout", FLAG_TIME, FIELD(timeout_ns), "10s", "TIME", "for one request"},
    {"think", FLAG_TIME, FIELD(think_ns), "0", "TIME",
     "closed loop: pause between a reply and the next request"},
    {"tool", FLAG_TEXT, FIELD(tool), "echo", "NAME", "mcp: the tool to call"},
    {"args", FLAG_TEXT, FIELD(args), "{\"text\":\"hi\"}", "JSON",
     "mcp: its arguments; echo's text is checked in the reply"},
    {"list", FLAG_SWITCH, FIELD(list), NULL, NULL, "mcp: tools/list instead of tools/call"},
    {"priority", FLAG_TEXT, FIELD(priority), NULL, "CLASSES",
     "what requests and streams ask for in the field Priority: high (u=1), normal (u=3) or low (u=6), or "
     "shares of "
     "them, such as high=1,normal=8,low=1; the report has each class"},
    {"method", FLAG_TEXT, FIELD(method), NULL, "METHOD", "http: by default POST with a body, else GET"},
    {"body-bytes", FLAG_BYTES, FIELD(body_bytes), "0", "N", "http: size of the request's body"},
    {"header", FLAG_LIST, FIELD(headers), NULL, "'NAME: VALUE'", "one more request field; may be repeated"},
    {"streams", FLAG_COUNT, FIELD(streams), "0", "N",
     "beside: event streams held open with GET, their events measured; mcp-2026: with subscriptions/listen"},
    {"stream-path", FLAG_LIST, FIELD(stream_paths), NULL, "PATH",
     "what streams ask for, if not the URL's path; several, by repeating it, are taken in turn"},
    {"slow-readers", FLAG_COUNT, FIELD(slow_readers), "0", "N",
     "beside: connections that stop reading after a reply's head, or read slowly (--slow-rate)"},
    {"slow-path", FLAG_TEXT, FIELD(slow_path), NULL, "PATH", "what those ask for, if not the URL's path"},
    {"slow-rate", FLAG_BYTES, FIELD(slow_rate), "0", "N",
     "bytes that each of those reads in a second; 0: none"},
    {"idle", FLAG_COUNT, FIELD(idle), "0", "N", "beside: connections that do one request and stay open"},
    {"rcvbuf", FLAG_BYTES, FIELD(rcvbuf), "0", "N", "SO_RCVBUF; slow readers have 64k if it is not given"},
#undef FIELD
    {0},
};

const struct flag ws_flags[] = {
#define FIELD(name) offsetof(struct ws_config, name)
    {"url", FLAG_TEXT, FIELD(url), NULL, "URL", "ws://HOST[:PORT]/PATH, or http+unix:/SOCKET:/PATH"},
    {"kind", FLAG_TEXT, FIELD(kind), "echo", "KIND",
     "echo: the server sends each message back; mcp: sessions of 2025-11-25 with calls of the tool echo"},
    {"connections", FLAG_COUNT, FIELD(connections), "1", "N", "connections"},
    {"pipeline", FLAG_COUNT, FIELD(pipeline), "16", "N", "messages under way on each connection, at most"},
    {"messages", FLAG_COUNT, FIELD(messages), "0", "N",
     "closed loop: so many on a connection, then it is closed and another one opened; 0: it stays"},
    {"message-bytes", FLAG_BYTES, FIELD(message_bytes), "200", "N", "size of a message"},
    {"priority", FLAG_TEXT, FIELD(priority), NULL, "CLASSES",
     "what messages ask for in params._meta[\"mcpgate/priority\"]: high, normal or low, or shares of them, "
     "such as "
     "high=1,normal=8,low=1; the report has each class"},
    {"ping", FLAG_SWITCH, FIELD(ping), NULL, NULL,
     "mcp: ping instead of tools/call, which a gateway of MCP puts before all classes"},
    {"binary", FLAG_SWITCH, FIELD(binary), NULL, NULL, "binary messages instead of text"},
    {"rate", FLAG_RATE, FIELD(rate), "0", "R",
     "open loop: R messages a second over all connections, whatever comes back; 0: closed loop"},
    {"burst", FLAG_COUNT, FIELD(burst), "1", "N", "open loop: N at once, then a pause that keeps the rate"},
    {"slow-readers", FLAG_COUNT, FIELD(slow_readers), "0", "N",
     "beside: connections that send as fast as they can and do not read what comes back, or read slowly "
     "(--slow-rate)"},
    {"slow-rate", FLAG_BYTES, FIELD(slow_rate), "0", "N",
     "bytes that each of those reads in a second; 0: none"},
    {"rcvbuf", FLAG_BYTES, FIELD(rcvbuf), "0", "N", "SO_RCVBUF; slow readers have 64k if it is not given, and always 64k to send"},
    {"timeout", FLAG_TIME, FIELD(timeout_ns), "10s", "TIME",
     "what is not back so long after the end is lost"},
    {"header", FLAG_LIST, FIELD(headers), NULL, "'NAME: VALUE'",
     "one more field of the upgrade; may be repeated"},
#undef FIELD
    {0},
};

const struct flag serve_flags[] = {
#define FIELD(name) offsetof(struct serve_config, name)
    {"listen", FLAG_TEXT, FIELD(listen), "127.0.0.1:9000", "ADDR:PORT",
     "where to listen; port 0 picks one; unix:PATH too"},
    {"reply-bytes", FLAG_BYTES, FIELD(reply_bytes), "300", "N", "body of a plain reply"},
    {"delay", FLAG_TIME, FIELD(delay_ns), "0", "TIME", "before each reply"},
    {"chunked", FLAG_SWITCH, FIELD(chunked), NULL, NULL, "chunked replies instead of Content-Length"},
    {"chunk-bytes", FLAG_BYTES, FIELD(chunk_bytes), "0", "N",
     "size of a chunk; 0: small bodies are one chunk"},
    {"sse", FLAG_SWITCH, FIELD(sse), NULL, NULL, "answers as SSE whoever accepts text/event-stream"},
    {"events", FLAG_COUNT, FIELD(events), "0", "N", "events of a stream; 0: endless"},
    {"event-bytes", FLAG_BYTES, FIELD(event_bytes), "100", "N", "size of an event"},
    {"rate", FLAG_RATE, FIELD(rate), "1", "R", "events per second and stream; 0: as fast as they are taken"},
    {"burst", FLAG_COUNT, FIELD(burst), "1", "N",
     "so many events back to back, then a pause, at the same rate"},
    {"progress", FLAG_COUNT, FIELD(progress), "0", "N",
     "progress notifications before a tool's result (with --sse)"},
    {"list-bytes", FLAG_BYTES, FIELD(list_bytes), "0", "N", "least size of the result of tools/list"},
    {"changes", FLAG_RATE, FIELD(changes), "0", "R",
     "2026-07-28: takes subscriptions/listen, and tells each of them R times a second, all in the same "
     "moments, that the tools have changed; 0: takes none"},
    {"sndbuf", FLAG_BYTES, FIELD(sndbuf), "0", "N", "SO_SNDBUF of accepted connections"},
    {"rcvbuf", FLAG_BYTES, FIELD(rcvbuf), "0", "N", "SO_RCVBUF of accepted connections"},
    {"json", FLAG_TEXT, FIELD(json), NULL, "FILE", "at the end writes the counters there; -: stdout"},
#undef FIELD
    {0},
};

const struct flag floor_flags[] = {
    {"listen", FLAG_TEXT, offsetof(struct floor_config, listen), "127.0.0.1:9001", "ADDR:PORT",
     "where to listen"},
    {"upstream", FLAG_TEXT, offsetof(struct floor_config, upstream), "127.0.0.1:9000", "ADDR:PORT",
     "where to connect"},
    {0},
};
