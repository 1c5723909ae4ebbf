using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Tanjiren.Server.Hosting;

namespace Tanjiren.Server.Identity;

/// <summary>Prints the set-up link of a server that has no users, once it listens.</summary>
internal sealed partial class SetupAnnouncement(
    SetupService setup, ControlPlaneOptions options, IdentityOptions identity, ServerAddress address, IServer server, ILogger<SetupAnnouncement> logger)
    : IHostedLifecycleService
{
    public async Task StartedAsync(CancellationToken cancellationToken)
    {
        if (!options.OfferSetup || await setup.OfferAsync(cancellationToken) is not { } code) return;
        var url = address.PublicUrl ?? server.Features.Get<IServerAddressesFeature>()?.Addresses.FirstOrDefault() ?? "http://localhost";
        var link = $"{url}/setup?code={code}";
        LogSetUp(logger, link, identity.SetupMinutes);
    }

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    [LoggerMessage(Level = LogLevel.Information, Message = "This server has no users. Open {Link} within {Minutes} minutes to make its owner; restart for a new link.")]
    private static partial void LogSetUp(ILogger logger, string link, int minutes);
}
