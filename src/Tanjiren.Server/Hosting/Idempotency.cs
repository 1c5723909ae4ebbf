using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Tanjiren.Server.Data;
using Tanjiren.Server.Identity;
using Tanjiren.Protocol;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Hosting;

/// <summary>An <c>Idempotency-Key</c> and the digest of the request that came with it.</summary>
internal sealed record IdempotencyKey(string Value, string RequestHash);

/// <summary>Endpoint metadata, for the OpenAPI document: the route takes an <c>Idempotency-Key</c>.</summary>
internal sealed record IdempotencyKeyTaken
{
    public static readonly IdempotencyKeyTaken Instance = new();
}

/// <summary>
/// What became of a key. Neither: it is new and now ours. <see cref="RepeatOf"/>: the same request made this resource before.
/// <see cref="Reused"/>: it came with another request before.
/// </summary>
internal readonly record struct IdempotencyReservation(string? RepeatOf, bool Reused);

/// <summary>
/// Makes a creating POST repeatable for a day. The key is reserved in the transaction that creates the resource, and first in it: a second request with
/// the key waits for the first one's end and then sees what it made.
/// </summary>
internal sealed class Idempotency(TimeProvider clock, HostingOptions options)
{
    public const string Header = "Idempotency-Key";
    private const int MaxLength = 200;

    // A number beyond a double is read as infinity, for which JSON has no word. The request is refused for it later, with all else that is wrong.
    private static readonly JsonSerializerOptions Digested = new(WireJson.Default.Options) { NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals };

    /// <summary>The key of a request, if it has one. A bad one is added to <paramref name="errors"/>.</summary>
    public static IdempotencyKey? Read<TRequest>(HttpContext context, TRequest request, FieldErrors errors)
    {
        var header = context.Request.Headers[Header];
        if (header.Count == 0) return null;
        if (header.Count > 1 || header[0] is not { Length: > 0 and <= MaxLength } value || value.Any(c => c is < '!' or > '~'))
        {
            errors.Add(Header, $"must be one header of 1 to {MaxLength} printable ASCII characters");
            return null;
        }
        // The request as we understood it, so that white space and unknown fields do not make another request of it.
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes($"{context.Request.Method} {context.Request.Path}\n"));
        hash.AppendData(JsonSerializer.SerializeToUtf8Bytes(request, (JsonTypeInfo<TRequest>)Digested.GetTypeInfo(typeof(TRequest))));
        return new IdempotencyKey(value, Convert.ToHexStringLower(hash.GetHashAndReset()));
    }

    /// <summary>The key of a request without a body: its method and path say what it asks.</summary>
    public static IdempotencyKey? Read(HttpContext context, FieldErrors errors) => Read<ProblemBody?>(context, null, errors);

    /// <summary>Reserves a key for <paramref name="resourceId"/>, which the rest of this transaction creates. Without a key: always new.</summary>
    public async Task<IdempotencyReservation> ReserveAsync(WriteTransaction tx, Caller caller, IdempotencyKey? key, string resourceId)
    {
        if (key is null) return default;
        var now = clock.GetUtcNow().ToUnixTimeMilliseconds();
        var row = new { caller.OrganizationId, caller.UserId, key = key.Value, key.RequestHash, resourceId, now, expired = now - options.IdempotencyHours * 3_600_000L };
        // The purge may not have come by yet: an expired key is taken over.
        var ours = await tx.ExecuteAsync("""
            INSERT INTO idempotency_keys (organization_id, user_id, idempotency_key, request_hash, resource_id, created_at)
            VALUES (@OrganizationId, @UserId, @key, @RequestHash, @resourceId, @now)
            ON CONFLICT (organization_id, user_id, idempotency_key)
            DO UPDATE SET request_hash = excluded.request_hash, resource_id = excluded.resource_id, created_at = excluded.created_at
            WHERE idempotency_keys.created_at <= @expired
            """, row);
        if (ours > 0) return default;
        var earlier = await tx.FirstAsync<KeyRow>("""
            SELECT request_hash, resource_id FROM idempotency_keys
            WHERE organization_id = @OrganizationId AND user_id = @UserId AND idempotency_key = @key
            """, row);
        return earlier!.RequestHash == key.RequestHash ? new IdempotencyReservation(earlier.ResourceId, false) : new IdempotencyReservation(null, true);
    }

    /// <summary>Gives a reservation back, when the transaction ends without the resource: a corrected state may let the same request pass.</summary>
    public Task ReleaseAsync(WriteTransaction tx, Caller caller, IdempotencyKey? key) => key is null ? Task.CompletedTask : tx.ExecuteAsync(
        "DELETE FROM idempotency_keys WHERE organization_id = @OrganizationId AND user_id = @UserId AND idempotency_key = @Value",
        new { caller.OrganizationId, caller.UserId, key.Value });

    public static Problem Reused() => Problem.Of(422, ErrorCode.IdempotencyKeyReused, "This Idempotency-Key came with another request before.",
        "Send a new key with a new request; repeat a request with exactly the same body.");

    private sealed record KeyRow
    {
        public string RequestHash { get; init; } = "";
        public string ResourceId { get; init; } = "";
    }
}
