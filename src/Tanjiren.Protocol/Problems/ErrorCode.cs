using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>
/// Every stable error code of the API, in <c>snake_case</c> on the wire (member <c>code</c> of an RFC 9457 problem). Codes are added, never
/// renamed: programs switch on them. Clients must accept codes that they do not know.
/// </summary>
[JsonConverter(typeof(SnakeCaseEnum<ErrorCode>))]
public enum ErrorCode
{
    /// <summary>500: a bug or a broken dependency; the response names the trace to quote.</summary>
    InternalError,

    // 400
    /// <summary>400: the body is not JSON, or not the JSON of this route.</summary>
    MalformedBody,
    /// <summary>400: the request line or a header is malformed.</summary>
    MalformedRequest,

    // 401
    /// <summary>401: no credentials.</summary>
    AuthenticationRequired,
    /// <summary>401: the credentials are wrong, expired or revoked.</summary>
    InvalidCredentials,
    /// <summary>401: RFC 9449 §7.1, the proof is malformed, old, replayed or does not match the request.</summary>
    InvalidDpopProof,
    /// <summary>401: RFC 9449 §8, send the proof again with the nonce of the <c>DPoP-Nonce</c> header.</summary>
    UseDpopNonce,
    /// <summary>401: RFC 6750 §3.1, the access token is expired, malformed or bound to another key.</summary>
    InvalidToken,
    /// <summary>401: the workstation was removed, or its key revoked; pair or recover it.</summary>
    KeyRevoked,
    /// <summary>401: an admin has approved another key for this workstation; go on with that one.</summary>
    KeyRotated,
    /// <summary>401: the sign-in that this workstation was registered with has ended; sign in and run the agent again.</summary>
    SignedOut,

    // 403
    /// <summary>403: the role does not allow it.</summary>
    Forbidden,
    /// <summary>403: the request comes from a foreign origin or names a foreign host.</summary>
    ForeignOrigin,
    /// <summary>403: plain http on an address that is not loopback.</summary>
    InsecureTransport,
    /// <summary>403: a rule of the doctrine forbids it; the detail names the rule.</summary>
    ForbiddenByDoctrine,
    /// <summary>403: nobody approves a production mutation of their own.</summary>
    OwnApproval,

    // 404
    /// <summary>404: no such thing, or none that this caller may know of.</summary>
    NotFound,

    // 409
    /// <summary>409: the current state does not allow it; the body carries the state.</summary>
    StateConflict,
    /// <summary>409: the lease is no longer yours; kill the process tree.</summary>
    LeaseLost,
    /// <summary>409: this generation was completed with another result.</summary>
    ResultConflict,
    /// <summary>409: another chunk is stored under this sequence number.</summary>
    LogConflict,
    /// <summary>409: another machine acts as this workstation.</summary>
    IdentityInUse,
    /// <summary>409: this session was taken over or has ended; open a new one.</summary>
    SessionEnded,
    /// <summary>409: the step can't be claimed now (draining, at capacity, maxParallel).</summary>
    NotClaimable,
    /// <summary>409: the step needs an approval that nobody has given yet.</summary>
    NeedsApproval,
    /// <summary>409: a freeze of the doctrine is in force; the detail says until when.</summary>
    Frozen,
    /// <summary>409: the name is taken.</summary>
    NameTaken,
    /// <summary>409: the workstation has a bound key already.</summary>
    AlreadyPaired,
    /// <summary>409: the server has been set up already.</summary>
    AlreadySetUp,
    /// <summary>409: somebody else changed it since you read it; <c>currentState</c> is its version now.</summary>
    VersionConflict,

    // 408, 413, 415, 422, 429, 503
    /// <summary>408: the body came too slowly.</summary>
    BodyTooSlow,
    /// <summary>405: the route exists, not for this method.</summary>
    MethodNotAllowed,
    /// <summary>413: the body is larger than the route takes.</summary>
    BodyTooLarge,
    /// <summary>415: the body must be <c>application/json</c>.</summary>
    UnsupportedMediaType,
    /// <summary>422: fields are invalid; <c>errors</c> names each.</summary>
    ValidationFailed,
    /// <summary>422: the Idempotency-Key was used with another body.</summary>
    IdempotencyKeyReused,
    /// <summary>422 (one answer for unknown, used and expired codes): the pairing code does not work.</summary>
    InvalidPairingCode,
    /// <summary>422: what was typed is not the end of the new key's fingerprint; the detail says how many tries are left.</summary>
    FingerprintMismatch,
    /// <summary>422: the set-up code does not work; restart the server for a new one.</summary>
    InvalidSetupCode,
    /// <summary>422 (one answer for unknown, used, expired and revoked ones, and those for another address): the invitation does not work.</summary>
    InvalidInvitation,
    /// <summary>413: the step's output is at its limit.</summary>
    LogLimitReached,
    /// <summary>429: too many tries; <c>Retry-After</c> says when.</summary>
    RateLimited,
    /// <summary>503: too busy or not ready; <c>Retry-After</c> says when.</summary>
    Unavailable,
}
