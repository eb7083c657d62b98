/** Our own words of reports, written as an operator would write others in their place (docs/reports.md). */

export const ownTemplateText = `[failed]
Subject: Undeliverable: your message did not reach all of its recipients

This is the mail server {{hostname}}.

Your message {{message}}
could not be delivered to {{them}}:

{{recipients}}

It will not be tried again.

[delayed]
Subject: Delayed: your message has not reached all of its recipients yet

This is the mail server {{hostname}}.

Your message {{message}}
could not be delivered yet to {{them}}:

{{recipients}}

It is tried again until {{retry_until}}. You need not do anything.

[delivered]
Subject: Delivered: your message has arrived

This is the mail server {{hostname}}.

Your message {{message}}
was delivered to {{them}}:

{{recipients}}

You are told because it was sent with the request for a report.

[relayed]
Subject: Relayed: your message was handed on

This is the mail server {{hostname}}.

Your message {{message}}
was handed on to the next server for {{them}}:

{{recipients}}

That server reports no deliveries: if all goes well you will hear no more.

[expanded]
Subject: Expanded: your message was sent on to several people

This is the mail server {{hostname}}.

Your message {{message}}
was sent on to all those that an address stands for:

{{recipients}}

If all goes well you will hear no more.
`;
