// Stand-ins until the server and the agent bring these; deleted when they do.
#pragma warning disable
using Microsoft.AspNetCore.Builder;

namespace Tanjiren.Server.Hosting
{
    internal sealed record LocalCredentials { public required string OrganizationId { get; init; } public required string Token { get; init; } }

    internal static class LocalWorkspace
    {
        public static Task<LocalCredentials> EnsureAsync(WebApplication app, CancellationToken ct) => throw new NotImplementedException();
    }
}

namespace Tanjiren.Agent
{
    internal static class MachineIdentity
    {
        public static string Of(string home) => Environment.MachineName + home;
    }
}

namespace Tanjiren.Agent.Execution
{
    internal static class Watchdog
    {
        public static int Main(Stream input) => 0;
    }
}
