// SPDX-License-Identifier: Apache-2.0
// A CA of the test's own and what it signs, made by openssl when the test runs.

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'] });

export class Authority {
  constructor(dir, name = 'ca') {
    this.dir = dir;
    this.count = 0;
    this.key = join(dir, `${name}.key`);
    this.cert = join(dir, `${name}.pem`);
    openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', `/CN=${name}`,
      '-keyout', this.key, '-out', this.cert);
  }

  /** A certificate for `san`; gives the paths of both files and their texts. `from` and `to`: days from now. */
  issue(san = 'IP:127.0.0.1', { to = 30, selfSigned = false } = {}) {
    const base = join(this.dir, `leaf${++this.count}`);
    const made = { cert: `${base}.pem`, key: `${base}.key` };
    openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=leaf', '-keyout', made.key, '-out', `${base}.csr`);
    writeFileSync(`${base}.ext`, `subjectAltName=${san}\n`);
    const signer = selfSigned ? ['-signkey', made.key] : ['-CA', this.cert, '-CAkey', this.key, '-CAcreateserial'];
    openssl('x509', '-req', '-in', `${base}.csr`, '-days', String(to), '-extfile', `${base}.ext`, '-out', made.cert, ...signer);
    return { ...made, options: { cert: readFileSync(made.cert), key: readFileSync(made.key) } };
  }
}
