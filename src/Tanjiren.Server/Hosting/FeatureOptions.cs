using Microsoft.Extensions.Options;

namespace Tanjiren.Server.Hosting;

/// <summary>Where the settings of a feature are: <c>Tanjiren:&lt;feature&gt;</c>. docs/operations.md lists each of them, and a test compares.</summary>
internal sealed record SettingsSection(string Feature, Type Options);

internal static class FeatureOptions
{
    /// <summary>
    /// Binds a feature's options to <c>Tanjiren:&lt;feature&gt;</c> and validates them at the start. An unknown setting is an error: a misspelt one would
    /// otherwise silently keep its default. The options themselves are injectable.
    /// </summary>
    public static IServiceCollection AddFeatureOptions<TOptions>(this IServiceCollection services, string feature) where TOptions : class
    {
        services.AddOptions<TOptions>()
            .BindConfiguration("Tanjiren:" + feature, binder => binder.ErrorOnUnknownConfiguration = true)
            .ValidateDataAnnotations()
            .ValidateOnStart();
        services.AddSingleton(new SettingsSection(feature, typeof(TOptions)));
        return services.AddSingleton(provider => provider.GetRequiredService<IOptions<TOptions>>().Value);
    }
}
