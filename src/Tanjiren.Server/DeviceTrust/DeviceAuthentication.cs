using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.DeviceTrust;

/// <summary>
/// Admits workstations to their routes: verifies the proof, gives the handler the verified body, and hands out the next nonce with every answer, the
/// refusals included.
/// </summary>
internal sealed class DeviceAuthentication(RequestDelegate next, DPoPVerifier verifier, ProofNonces nonces, Counters counters)
{
    public async Task InvokeAsync(HttpContext context)
    {
        var metadata = context.GetEndpoint()?.Metadata;
        var device = metadata?.GetMetadata<DeviceRequirement>();
        var maxBodyBytes = device?.MaxBodyBytes ?? metadata?.GetMetadata<ProofRequirement>()?.MaxBodyBytes;
        if (maxBodyBytes is null)
        {
            await next(context);
            return;
        }

        // When the answer starts, not now: a long-poll's answer comes late, and its nonce should be young.
        context.Response.OnStarting(static state =>
        {
            var (response, source) = ((HttpResponse, ProofNonces))state;
            response.Headers[DPoPProof.NonceHeader] = source.Issue();
            return Task.CompletedTask;
        }, (context.Response, nonces));

        var (proof, refusal) = await verifier.VerifyAsync(context, withToken: device is not null, maxBodyBytes.Value);
        if (proof is null)
        {
            counters.Add(refusal!.Error == "use_dpop_nonce" ? Counted.NoncesAsked : Counted.ProofsRefused);
            await RefuseAsync(context, refusal);
            return;
        }
        using var body = proof.Body;
        if (device is not null)
        {
            if (!IsOwn(context, proof.Token!.Sub, out var named))
            {
                await Problem.NotFound("workstation", named).ExecuteAsync(context);
                return;
            }
            // What is no session id is no session, and need not reach a statement (PostgreSQL refuses some characters).
            var session = context.Request.Query["session"].ToString();
            context.Features.Set(new Device(proof.Token!.Sub, proof.Token.Org, proof.Thumbprint, Ids.IsValid(session, Ids.Session) ? session : "", proof.SignedOut));
        }
        else
        {
            context.Features.Set(new ProvenKey(proof.Key, proof.Thumbprint));
        }
        using var stream = body.AsStream();
        context.Request.Body = stream;
        await next(context);
    }

    /// <summary>Another workstation's routes are as absent for this one as those of one that does not exist.</summary>
    private static bool IsOwn(HttpContext context, string instanceId, out string named)
    {
        named = context.Request.RouteValues["instanceId"] as string
            ?? (context.Request.Path.StartsWithSegments("/api/instances", StringComparison.OrdinalIgnoreCase) ? context.Request.RouteValues["id"] as string : null)
            ?? instanceId;
        return named == instanceId;
    }

    private static Task RefuseAsync(HttpContext context, ProofRefusal refusal)
    {
        if (refusal.Problem.StatusCode == 401)
        {
            // RFC 6750 §3: printable ASCII without quote and backslash; the detail may repeat what the client sent.
            var description = string.Concat(refusal.Problem.Value.Detail!.Select(c => c is >= ' ' and <= '~' and not ('"' or '\\') ? c : '\''));
            context.Response.Headers.WWWAuthenticate = refusal.Error is { } error
                ? $"DPoP error=\"{error}\", error_description=\"{description}\", algs=\"{DPoPProof.Algorithm}\""
                : $"DPoP algs=\"{DPoPProof.Algorithm}\"";
        }
        return refusal.Problem.ExecuteAsync(context);
    }
}
