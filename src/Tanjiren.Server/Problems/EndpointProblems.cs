using Microsoft.AspNetCore.Mvc;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Problems;

/// <summary>Declares a route's error answers for the OpenAPI document, and how much it takes.</summary>
internal static class EndpointProblems
{
    /// <summary>Adds the statuses under which this route answers with problem details.</summary>
    public static TBuilder AnswersProblems<TBuilder>(this TBuilder builder, params int[] statuses) where TBuilder : IEndpointConventionBuilder
    {
        foreach (var status in statuses)
            builder.WithMetadata(new ProducesResponseTypeMetadata(status, typeof(ProblemBody), ["application/problem+json"]));
        return builder;
    }

    /// <summary>For routes that take a body from anybody: 16 KiB at most, so that strangers can't make the server hold much.</summary>
    public static TBuilder TakesLittle<TBuilder>(this TBuilder builder) where TBuilder : IEndpointConventionBuilder =>
        builder.WithMetadata(new RequestSizeLimitAttribute(WireLimits.MaxOpenBodyBytes));
}
