// Package relay connects the sessions of one node with documents that another
// node owns, and keeps them connected when the owner changes.
//
// A session asks it for a Seat, which has the methods of a subscription. Where
// the document is does not show: while its owner is this node, a Seat passes on
// to a hub.Subscription; while it is another one, to a channel of a link.
//
// # Links and channels
//
// Two nodes share one stream of gRPC, a link. On it, each document that one of
// them has sessions for and the other owns has a channel. A channel's frames
// are cut into records of at most 32 KiB, and channels take turns record by
// record. Each direction of a channel has a credit of 1 MiB, which the receiver
// returns as it deals with what came; so a document that can't keep up stops
// its own senders and nobody else's. There is one layout for all frames:
//
//	byte kind; varUint session, a, b; varUint n and n sessions;
//	varUint length and text; the rest is the body
//
// The node that has the sessions opens and closes the channel. It joins and
// detaches sessions with their rights, sends what their clients send, and tells
// when one's outbox is full and when it is empty again. The owner sends
//
//   - what goes to everybody once for all sessions of the channel, but for
//     those in a list of exceptions (an author does not get its own edit);
//   - what goes to one session;
//   - when a session begins and ceases to hear what goes to everybody;
//   - from time to time a state vector that tells what all that hear updates
//     have been sent.
//
// All of it is one sequence, so nothing has to be matched up: what comes after
// "hears updates" is heard, what comes after "hears nothing" is not.
//
// # Slow readers
//
// When a session's outbox is full its node says so and goes on filling it. The
// owner marks what has been relayed until it hears of it, and answers "hears
// nothing" at that place of the sequence. When the outbox is empty the node
// says that too, and the owner sends one diff from the mark to the present and
// "hears updates". A link that can't keep up is the same to the owner: the
// channel as a whole is a reader that lags and gets one diff.
//
// # A change of the owner
//
// A channel ends when its link breaks, when nothing was heard over it for some
// seconds, or when the owner says that it has the document no more or never
// had it. The sessions stay. Their node asks the directory, again and again
// with growing pauses, and takes them to the next owner:
//
//   - those that heard updates join with the last vector: the new owner sends
//     what is missing once for all of them. Others ask by the vector that they
//     are known to have, or by the question of their client that was not
//     answered yet;
//   - updates that were not acknowledged and requests for acknowledgements are
//     sent again, in order. Where too many were to be kept, the client is asked
//     what it has, and nothing is acknowledged before it has said so;
//   - beside those, one session of each node is asked: of what was relayed and
//     died with the owner it has as much as any;
//   - the presence of each session is sent again, and each is shown who is there:
//     the owner before may not have known all, or not have told all.
//
// The owner may be this node before or after, or both times another one.
//
// # Who is let in
//
// Both ends prove that they know the shared secret without sending it, over
// random numbers that both chose, and the one that dials knows whom to expect.
// With TLS, certificates of both ends are asked for as well. Versions are agreed
// on in the same messages. Before that nothing is read but messages of a few
// KiB; after it a frame that is malformed or breaks the bounds ends the link.
package relay
