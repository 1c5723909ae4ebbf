using System.Reflection;
using Tanjiren.Protocol;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.DeviceTrust;

/// <summary>The key that signed the request's proof, on routes that take a proof without a token. Handlers take it as a parameter.</summary>
internal sealed record ProvenKey(Jwk Key, string Thumbprint)
{
    public static ValueTask<ProvenKey> BindAsync(HttpContext context, ParameterInfo _) =>
        ValueTask.FromResult(context.Features.Get<ProvenKey>()
            ?? throw new InvalidOperationException("This route takes a proven key but does not require a proof: add RequireProof."));
}

/// <summary>Endpoint metadata: the route takes a proof without a token.</summary>
internal sealed record ProofRequirement(int MaxBodyBytes);

internal static class ProofRequirementExtensions
{
    public static TBuilder RequireProof<TBuilder>(this TBuilder builder, int maxBodyBytes) where TBuilder : IEndpointConventionBuilder =>
        builder.WithMetadata(new ProofRequirement(maxBodyBytes)).AnswersProblems(400, 401, 408, 413, 503);
}
