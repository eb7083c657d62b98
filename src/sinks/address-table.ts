/**
 * What an address is, by the files of aliases and mailboxes: a mailbox of ours, others in its place, somebody else's, or nobody. One piece of code answers at RCPT
 * and when recipients are resolved. Pure; the files are read by address-files.ts.
 */
import type { Resolution } from "../events/subject-transport.ts";
import { type AliasEntry, type AliasMember, type AliasTarget, mailboxKey } from "../mail/alias-file.ts";
import { localPartOctetsMax, type Mailbox, sameMailbox } from "../mail/mailbox.ts";
import type { MailboxFile } from "../mail/mailbox-file.ts";
import { expansionDepthMax } from "../queue/categorize-recipients.ts";

/** Whose mail is taken, as it stands now. */
export interface AddressDomains {
  /** In the form of `normalizeDomain`; the first is where mail for postmaster ends where nobody is named. */
  readonly local: ReadonlySet<string>;
  /** What ends the mailbox's name in a local part; "": nothing does. */
  readonly plus: string;
}

export interface AddressContent {
  readonly aliases: readonly AliasEntry[];
  /** null: every local part has a mailbox. */
  readonly mailboxes: Pick<MailboxFile, "addresses" | "names"> | null;
  /** Members of the files that aliases include, by their paths as written. */
  readonly included: ReadonlyMap<string, readonly AliasMember[]>;
}

/** What an address is, and which line or rule says so. */
export interface Found {
  readonly resolution: Resolution;
  /** `aliases line 12`, `mailboxes`, `local domain`. */
  readonly by: string;
}

/** Taken at every local domain. RFC 5321 §4.5.1; RFC 2142 §4 for abuse. */
const roles: ReadonlySet<string> = new Set(["postmaster", "abuse"]);
/** Reverse-path of what goes to the members of NAME, where there is such an alias: an old custom of sendmail's. */
const ownerPrefix = "owner-";

const local: Resolution = { kind: "local" };
const noMailbox = "No such mailbox here";

/** Where an address was found, before its members are looked at. */
type Place =
  | { readonly kind: "alias"; readonly entry: AliasEntry; readonly by: string }
  | { readonly kind: "mailbox"; readonly mailbox: Mailbox; readonly by: string }
  | { readonly kind: "role"; readonly to: Mailbox }
  | { readonly kind: "relay" | "unknown" };

export class AddressTable {
  readonly #content: AddressContent;
  readonly #entries: Readonly<Record<"address" | "name" | "domain", Map<string, AliasEntry>>> = {
    address: new Map(),
    name: new Map(),
    domain: new Map(),
  };

  constructor(content: AddressContent) {
    this.#content = content;
    for (const entry of content.aliases) this.#entries[entry.left.kind].set(entry.left.key, entry);
  }

  /** @param expandedFrom the addresses it stands for: one that leads back to itself is what its mailbox is, and not expanded again */
  resolve(mailbox: Mailbox, domains: AddressDomains, expandedFrom: readonly Mailbox[] = []): Found {
    if (expandedFrom.some((one) => sameMailbox(one, mailbox))) return this.#withoutAliases(mailbox, domains);
    const place = this.#find(mailbox, domains);
    switch (place.kind) {
      case "alias":
        return { resolution: this.#expand(place.entry, mailbox, domains), by: place.by };
      case "mailbox":
        return { resolution: local, by: place.by };
      case "role":
        return { resolution: { kind: "expand", to: [place.to] }, by: "role address" };
      case "relay":
        return { resolution: { kind: "relay" }, by: "no local domain" };
      case "unknown":
        return { resolution: { kind: "unknown" }, by: "mailboxes" };
    }
  }

  /**
   * Why mail for an address of a local domain is not taken, in words for its sender; null where it is. Followed as far as one address stands for one other, as it
   * will be when recipients are resolved: who learns only then that nobody is there is sent a report. Of a list no member is looked at.
   */
  refusal(mailbox: Mailbox, domains: AddressDomains): string | null {
    const passed: Mailbox[] = [];
    for (let at = mailbox; ; ) {
      const { resolution } = this.resolve(at, domains);
      if (resolution.kind === "unknown") return resolution.reason ?? noMailbox;
      if (resolution.kind !== "expand") return null;
      const [next, ...others] = resolution.to;
      // Who names himself stays what he is.
      if (!next || others.length > 0 || sameMailbox(next, at)) return null;
      if (passed.length === expansionDepthMax) return noMailbox;
      passed.push(at);
      const back = passed.findIndex((one) => sameMailbox(one, next));
      if (back >= 0) {
        const stays = (one: Mailbox) => this.#withoutAliases(one, domains).resolution.kind === "local";
        return passed.slice(back).some(stays) ? null : noMailbox;
      }
      at = next;
    }
  }

  /** Whose mailbox gets the mail of an address: `ann+news` is for `ann`, unless it has a mailbox of its own. */
  mailboxOf(mailbox: Mailbox, domains: AddressDomains): Mailbox {
    const place = this.#find(mailbox, domains);
    if (place.kind === "mailbox") return place.mailbox;
    // What is delivered locally although it is found elsewhere was sent here by a sink or by itself.
    const base = withoutDetail(mailbox, domains);
    return !base || this.#hasMailbox(mailbox) ? mailbox : base;
  }

  #find(mailbox: Mailbox, domains: AddressDomains): Place {
    const isLocal = domains.local.has(mailbox.domain);
    const named = this.#named(mailbox, isLocal);
    if (named) return named;
    const base = withoutDetail(mailbox, domains);
    const basePlace = isLocal && base ? this.#named(base, isLocal) : undefined;
    if (basePlace) return basePlace;
    const whole = this.#entries.domain.get(mailbox.domain);
    if (whole) return { kind: "alias", entry: whole, by: `aliases line ${whole.line}` };
    if (!isLocal) return { kind: "relay" };
    const role = (base ?? mailbox).localPart.toLowerCase();
    if (roles.has(role)) {
      if (role !== "postmaster") return { kind: "role", to: { localPart: "postmaster", domain: mailbox.domain } };
      const first = firstOf(domains);
      if (mailbox.domain !== first) return { kind: "role", to: { localPart: "postmaster", domain: first } };
      return { kind: "mailbox", mailbox: base ?? mailbox, by: "role address" };
    }
    if (this.#content.mailboxes === null) return { kind: "mailbox", mailbox: base ?? mailbox, by: "local domain" };
    return { kind: "unknown" };
  }

  /** Where somebody wrote exactly this address, or its local part. */
  #named(mailbox: Mailbox, isLocal: boolean): Place | undefined {
    const entry =
      this.#entries.address.get(mailboxKey(mailbox)) ??
      (isLocal ? this.#entries.name.get(mailbox.localPart.toLowerCase()) : undefined);
    if (entry) return { kind: "alias", entry, by: `aliases line ${entry.line}` };
    if (isLocal && this.#hasMailbox(mailbox)) return { kind: "mailbox", mailbox, by: "mailboxes" };
    return undefined;
  }

  #hasMailbox(mailbox: Mailbox): boolean {
    const { mailboxes } = this.#content;
    return (
      mailboxes !== null &&
      (mailboxes.names.has(mailbox.localPart.toLowerCase()) || mailboxes.addresses.has(mailboxKey(mailbox)))
    );
  }

  /** A member of a circle stays where a mailbox is written down for it; that every local part has one is not enough: nobody might read it. */
  #withoutAliases(mailbox: Mailbox, domains: AddressDomains): Found {
    const base = withoutDetail(mailbox, domains);
    const isReal =
      domains.local.has(mailbox.domain) && (this.#hasMailbox(mailbox) || (base !== null && this.#hasMailbox(base)));
    return { resolution: isReal ? local : { kind: "unknown" }, by: "mailboxes" };
  }

  #expand({ left, target }: AliasEntry, mailbox: Mailbox, domains: AddressDomains): Resolution {
    if (target.kind === "fail") return { kind: "unknown", ...(target.reason !== "" && { reason: target.reason }) };
    if (target.kind === "domain")
      return { kind: "expand", to: [{ localPart: mailbox.localPart, domain: target.domain }] };
    const to = this.#members(target, mailbox, domains);
    if (to.length === 0) return { kind: "unknown", reason: "The list has no members" };
    const owner = left.kind === "domain" ? undefined : this.#ownerOf(left, mailbox, domains);
    return { kind: "expand", to, ...(owner && { owner }) };
  }

  #members(
    { members }: Extract<AliasTarget, { readonly kind: "members" }>,
    mailbox: Mailbox,
    domains: AddressDomains,
  ): Mailbox[] {
    const domain = domains.local.has(mailbox.domain) ? mailbox.domain : firstOf(domains);
    return members
      .flatMap((member) => (member.kind === "include" ? (this.#content.included.get(member.path) ?? []) : [member]))
      .flatMap((member) => {
        if (member.kind === "mailbox") return [member.mailbox];
        return member.kind === "name" ? [{ localPart: member.localPart, domain }] : [];
      });
  }

  /** RFC 5321 §3.9.2: what goes to a list comes back to who keeps it. */
  #ownerOf({ kind, key }: AliasEntry["left"], { domain }: Mailbox, domains: AddressDomains): Mailbox | undefined {
    const name = kind === "name" ? key : key.slice(0, key.lastIndexOf("@"));
    const owner: Mailbox = { localPart: ownerPrefix + name, domain };
    if (name.startsWith(ownerPrefix) || Buffer.byteLength(owner.localPart) > localPartOctetsMax) return undefined;
    const isThere =
      this.#entries.address.has(mailboxKey(owner)) ||
      (domains.local.has(domain) && this.#entries.name.has(owner.localPart));
    return isThere ? owner : undefined;
  }
}

/** The mailbox's name in a local part with a detail behind it; null where there is none. */
function withoutDetail({ localPart, domain }: Mailbox, { plus }: AddressDomains): Mailbox | null {
  const end = plus === "" ? -1 : localPart.indexOf(plus);
  return end < 1 ? null : { localPart: localPart.slice(0, end), domain };
}

/** Where names without a domain belong that stand for somebody else's address. */
function firstOf({ local: domains }: AddressDomains): string {
  return domains.values().next().value ?? "localhost";
}
