/** The benchmark's plugin for Haraka: relays everything to the sink, reads the subject, adds a field with it. */

exports.hook_connect = (next, connection) => {
  connection.relaying = true;
  next();
};

exports.hook_rcpt = (next) => next(OK);

exports.hook_data_post = (next, connection) => {
  const { transaction } = connection;
  transaction.add_header("X-Bench", transaction.header.get("subject").trim());
  next();
};

exports.hook_get_mx = (next) =>
  next(OK, { priority: 0, exchange: "127.0.0.1", port: Number(process.env.BENCH_SINK_PORT) });
