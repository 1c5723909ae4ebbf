namespace Tanjiren.Server.Hosting;

internal static class LoopRegistration
{
    /// <summary>Registers a loop once, as the hosted service that runs it and as one of those that <c>/api/status</c> lists.</summary>
    public static IServiceCollection AddLoop<TLoop>(this IServiceCollection services) where TLoop : class, ILoop, IHostedService =>
        services
            .AddSingleton<TLoop>()
            .AddSingleton<ILoop>(provider => provider.GetRequiredService<TLoop>())
            .AddHostedService(provider => provider.GetRequiredService<TLoop>());
}
