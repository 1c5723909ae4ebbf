using Microsoft.Extensions.Options;

namespace Tanjiren.Server.Hosting;

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
        return services.AddSingleton(provider => provider.GetRequiredService<IOptions<TOptions>>().Value);
    }
}
