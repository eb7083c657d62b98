/** The recipes of docs/cookbook.md: their order, and what whoever copies one will want to change. The rest is read from the scripts (cookbook.ts). */

interface Dish {
  /** `greylist`: of scripts/ or scripts/examples/. */
  readonly script: string;
  readonly title: string;
  /** Markdown, in sentences. */
  readonly change: string;
}

export const recipes: readonly { readonly title: string; readonly dishes: readonly Dish[] }[] = [
  {
    title: "What a message says",
    dishes: [
      {
        script: "disclaimer",
        title: "A disclaimer",
        change:
          "With `{ wrap: true }` behind the text, `appendText` puts a signed message whole into a new one that begins with it. The priority is behind what others edit, so that the disclaimer comes last.",
      },
      {
        script: "tag-external",
        title: "A tag for mail from outside",
        change:
          "Several domains: `ourDomains.includes(domain)`. To tag what failed DMARC alone, add a rule: `DMARC = fail`.",
      },
      {
        script: "stamp-fields",
        title: "X- fields, believed and stamped",
        change:
          "`mail.session.ip` or `listener` in the place of `user`, where it is hosts that you believe. `mail.notes` is for what later scripts are to read and nobody else.",
      },
      {
        script: "rewrite-sender",
        title: "Another sender",
        change:
          "A `Map` in the place of the pattern, for addresses that are to become certain others. Replies come to the new address: see that somebody reads it.",
      },
    ],
  },
  {
    title: "Who gets it",
    dishes: [
      {
        script: "alias",
        title: "Aliases",
        change:
          'For long lists, import them: `import { aliases } from "./lib/aliases.ts"`. The server\'s own [aliases](addresses.md) do the plain cases without a script.',
      },
      {
        script: "catch-all",
        title: "A catch-all",
        change:
          "The rule says for whom. `mail.envelope.remove(recipient)` in the place of `replace` lets the rest of the recipients have the message alone.",
      },
      {
        script: "directory-forward",
        title: "Forward as the directory says",
        change:
          "Origin, path and the secret's name. A directory in your own network needs `private_addresses = true`. For many messages keep answers in `kv`, as verify-recipients does.",
      },
      {
        script: "split-domain",
        title: "One domain on two systems",
        change:
          "Next hops are those of [routing](routing.md#routes). Where a directory knows who has moved, ask it at this place.",
      },
      {
        script: "journal",
        title: "A journal of all mail",
        change:
          'A rule, for some of the mail alone. `onFault = "proceed"` lets mail go by that cannot be journalled; without it such mail is deferred. `scripts.limits.content_max` has to be above the largest message you take.',
      },
      {
        script: "archive-copy",
        title: "A copy to the archive",
        change: "The rule, and the archive's address. To an address of your own domains no grant is needed.",
      },
    ],
  },
  {
    title: "Unwanted mail",
    dishes: [
      {
        script: "block-attachments",
        title: "Take out programs",
        change:
          '`mail.refuse("Programs are not accepted")` in the place of `remove` sends the whole message back. `attachment.replace("taken out", { fileName: "removed.txt" })` leaves a word in its place.',
      },
      {
        script: "quarantine-release",
        title: "Quarantine with release",
        change:
          "Who is told, and what is looked for. `onarrival badmail release ID` does not ask scripts again; with `--again` it does, and the note `released` is set then.",
      },
      {
        script: "quarantine-spam",
        title: "Quarantine what a filter marked",
        change: "Field and threshold of your filter.",
      },
      {
        script: "spam-folder",
        title: "Spam into a folder",
        change:
          "`onarrival bindings set spam-folder --property scoreMin=8` changes the threshold without touching the script. A rule decides before the script is asked: `HEADER X-Spam-Flag = YES`.",
      },
      {
        script: "dmarc-policy",
        title: "What DMARC asks for",
        change: "The sealers you trust: lists and forwarders that your people use.",
      },
      {
        script: "dnsbl",
        title: "DNS lists",
        change:
          "The lists, whose terms you have read. Several lists with weights, and answers that mean different things, are the business of the sink [`dnsbl`](sinks.md), which is faster as well.",
      },
      {
        script: "greylist",
        title: "Greylisting",
        change: "The times. There is a sink for the same job, [`greylist`](sinks.md), which needs no sandbox.",
      },
      {
        script: "refuse-by-header",
        title: "Refuse by the header",
        change: "Rule and field.",
      },
      {
        script: "rate-limit",
        title: "A limit for each sender",
        change:
          "`hourMax`, as a property of the binding. To count recipients handle `onRcptTo`. Plain limits for users need no script: `auth.rate` ([submission](submission.md)).",
      },
      {
        script: "verify-recipients",
        title: "Ask a service who exists",
        change:
          "Origin and path, and how long answers hold. Where a list will do, `domains.mailboxes` needs no service.",
      },
    ],
  },
  {
    title: "Mail and other systems",
    dishes: [
      {
        script: "auto-reply",
        title: "An answer for who is away",
        change:
          "Text, date and for whom. What must not be answered (machines, lists, reports, other answers) is not, without a word in the script.",
      },
      {
        script: "webhook",
        title: "Mail to an application",
        change:
          'What the application wants to know; `await attachment.content()` has the octets. `mail.discard("given to the shop")` at the end, where nobody is to get the message besides.',
      },
      {
        script: "bounces-to-app",
        title: "Bounces to an application",
        change:
          "Send your mailings with the reverse-path `bounces+ID@your.domain`. For mail that this server itself gave up, `onFailed` tells recipient and reply without any report.",
      },
      {
        script: "encrypt-gateway",
        title: "By way of an encryption gateway",
        change:
          "Gateway, port and mark. The gateway's address is how mail that comes back is known: the gateway has to relay by this server.",
      },
      {
        script: "log-to-json",
        title: "A line of JSON for each message",
        change: "What the line says: never the text of mail.",
      },
    ],
  },
];
