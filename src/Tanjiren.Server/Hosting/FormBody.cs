namespace Tanjiren.Server.Hosting;

/// <summary>One field of a form, as the OpenAPI document tells it. <paramref name="Words"/>: the values that it takes; none: any text.</summary>
internal sealed record FormField(string Name, string Description, bool Required = false, params string[] Words);

/// <summary>
/// Endpoint metadata: the route takes a form, which its handler reads itself. For the document only. Told to the framework too (<c>Accepts</c>), any other content
/// type would be refused before the handler, and not in the words of the page or of RFC 6749.
/// </summary>
internal sealed record FormBody(IReadOnlyList<FormField> Fields)
{
    public const string ContentType = "application/x-www-form-urlencoded";
}

/// <summary>Endpoint metadata: the statuses under which the route shows a page.</summary>
internal sealed record PageAnswers(IReadOnlyList<int> Statuses);

internal static class FormBodyExtensions
{
    public static TBuilder TakesForm<TBuilder>(this TBuilder builder, params FormField[] fields) where TBuilder : IEndpointConventionBuilder =>
        builder.WithMetadata(new FormBody(fields));

    public static TBuilder AnswersPages<TBuilder>(this TBuilder builder, params int[] statuses) where TBuilder : IEndpointConventionBuilder =>
        builder.WithMetadata(new PageAnswers(statuses));
}
