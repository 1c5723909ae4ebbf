using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>What a workstation says of a step that it has ended (D-05): all that the result asserts, over what was assigned and what was printed.</summary>
public sealed record ReceiptClaims
{
    /// <summary>The workstation.</summary>
    [JsonPropertyName("iss")] public string? Iss { get; init; }
    [JsonPropertyName("tsk")] public string? Tsk { get; init; }
    [JsonPropertyName("stp")] public string? Stp { get; init; }
    [JsonPropertyName("gen")] public long? Gen { get; init; }
    /// <summary>The assignment (JWS) that the agent took for good and acted on; absent when it took none.</summary>
    [JsonPropertyName("asg")] public string? Asg { get; init; }
    /// <summary><see cref="AssignedWork.Digest"/> of what that assignment is for.</summary>
    [JsonPropertyName("sdg")] public string? Sdg { get; init; }
    [JsonPropertyName("out")] public StepOutcome? Out { get; init; }
    [JsonPropertyName("rsn")] public StepReason? Rsn { get; init; }
    [JsonPropertyName("exc")] public int? Exc { get; init; }
    [JsonPropertyName("sig")] public string? Sig { get; init; }
    /// <summary>Milliseconds.</summary>
    [JsonPropertyName("dur")] public long? Dur { get; init; }
    /// <summary>Sequence of the last chunk of output.</summary>
    [JsonPropertyName("fin")] public long? Fin { get; init; }
    [JsonPropertyName("byt")] public long? Byt { get; init; }
    [JsonPropertyName("trc")] public bool? Trc { get; init; }
    /// <summary><see cref="ResultDigest"/>: all of these once more, with the detail, and with the response and usage of a coding agent.</summary>
    [JsonPropertyName("rdg")] public string? Rdg { get; init; }
    /// <summary>SHA-256 of the preview's bytes, lower-case hex; absent when there is none.</summary>
    [JsonPropertyName("pvw")] public string? Pvw { get; init; }
    /// <summary><see cref="LogDigest"/> of all chunks up to <see cref="Fin"/>; absent when the agent lost count of them in a crash.</summary>
    [JsonPropertyName("lgd")] public string? Lgd { get; init; }
    /// <summary><see cref="AnswersDigest"/> of what became of its questions; absent when it had none, or the agent lost them in a crash.</summary>
    [JsonPropertyName("ans")] public string? Ans { get; init; }
    /// <summary>When it ended: Unix milliseconds by the machine's clock.</summary>
    [JsonPropertyName("fat")] public long? Fat { get; init; }

    /// <summary>All but who signs it: that is set when it is signed.</summary>
    /// <param name="taskId">Of the step; null when a crash left only the step's id.</param>
    /// <param name="stepId">Which.</param>
    /// <param name="result">Sealed: with its digest.</param>
    /// <param name="assignment">The one that was verified; null: none was.</param>
    /// <param name="logDigest">Over all of the output; null: not known.</param>
    /// <param name="finishedAt">By the machine's clock.</param>
    public static ReceiptClaims Of(string? taskId, string stepId, CompleteRequest result, string? assignment, string? logDigest, DateTimeOffset finishedAt) => new()
    {
        Tsk = taskId, Stp = stepId, Gen = result.LeaseGeneration, Asg = assignment, Sdg = Assignment.Parse(assignment, out _)?.Claims.Sdg,
        Out = result.Outcome, Rsn = result.Reason, Exc = result.ExitCode, Sig = result.Signal, Dur = result.DurationMs, Fin = result.FinalLogSeq, Byt = result.LogBytes, Trc = result.Truncated,
        Rdg = result.ResultDigest, Pvw = PreviewDigest(result.OutputPreview), Lgd = logDigest, Fat = finishedAt.ToUnixTimeMilliseconds(),
    };

    /// <summary>The first field of a result that this does not say the same of, by its name on the wire; null: it is the receipt of this result. The preview must be base64.</summary>
    public string? DiffersIn(CompleteRequest result) =>
        Gen != result.LeaseGeneration ? "leaseGeneration"
        : Out != result.Outcome ? "outcome"
        : Rsn != result.Reason ? "reason"
        : Exc != result.ExitCode ? "exitCode"
        : Sig != result.Signal ? "signal"
        : Dur != result.DurationMs ? "durationMs"
        : Fin != result.FinalLogSeq ? "finalLogSeq"
        : Byt != result.LogBytes ? "logBytes"
        : (Trc ?? false) != result.Truncated ? "truncated"
        : Pvw != PreviewDigest(result.OutputPreview) ? "outputPreview"
        : Rdg != result.ResultDigest ? result is { Response: null, Usage: null } ? "detail" : "detail, response or usage"
        : null;

    /// <summary>None and an empty one are the same.</summary>
    private static string? PreviewDigest(string? base64) => string.IsNullOrEmpty(base64) ? null : Convert.ToHexStringLower(SHA256.HashData(Convert.FromBase64String(base64)));
}

/// <summary>A receipt: a JWS that carries its signer's key. Parsed; whose key that is, and whether it counts, the caller must judge.</summary>
public sealed record Receipt(Jwk Signer, ReceiptClaims Claims, CompactJws Jws)
{
    public const string Type = "tanjiren-receipt+jwt";

    /// <summary>Characters.</summary>
    public const int MaxLength = 8192;

    /// <summary>The bytes that are signed.</summary>
    public static byte[] Payload(ReceiptClaims claims) => JsonSerializer.SerializeToUtf8Bytes(claims, WireJson.Default.ReceiptClaims);

    public static string Sign(ECDsa key, ReadOnlySpan<byte> payload) =>
        CompactJws.Sign(key, new ProofHeader { Typ = Type, Alg = CompactJws.Algorithm, Jwk = Jwk.FromKey(key) }, payload);

    /// <summary>A receipt whose signature is right, else null.</summary>
    public static Receipt? Read(string? text) => CompactJws.Verified(text, Type, MaxLength) is var (signer, jws) ? Of(signer, jws) : null;

    /// <summary>The same with the signature still to be verified, for who keeps imported keys.</summary>
    public static Receipt? Parse(string? text) =>
        text is { Length: <= MaxLength } && CompactJws.Parse(text) is { Header: { Typ: Receipt.Type, Alg: CompactJws.Algorithm, Jwk: { } signer } } jws && signer.IsPublicP256() ? Of(signer, jws) : null;

    private static Receipt? Of(Jwk signer, CompactJws jws)
    {
        try
        {
            return JsonSerializer.Deserialize(jws.Payload, WireJson.Default.ReceiptClaims) is { } claims ? new Receipt(signer, claims, jws) : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
