using Tanjiren.Protocol;

namespace Tanjiren.Server.Problems;

/// <summary>Declares a route's error answers for the OpenAPI document.</summary>
internal static class EndpointProblems
{
    /// <summary>Adds the statuses under which this route answers with problem details.</summary>
    public static TBuilder AnswersProblems<TBuilder>(this TBuilder builder, params int[] statuses) where TBuilder : IEndpointConventionBuilder
    {
        foreach (var status in statuses)
            builder.WithMetadata(new ProducesResponseTypeMetadata(status, typeof(ProblemBody), ["application/problem+json"]));
        return builder;
    }
}
