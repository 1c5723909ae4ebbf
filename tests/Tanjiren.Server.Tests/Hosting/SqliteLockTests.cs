using Microsoft.AspNetCore.Builder;
using Tanjiren.Server.Hosting;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Hosting;

public sealed class SqliteLockTests
{
    [Fact]
    public async Task A_second_control_plane_on_one_file_is_refused_and_the_next_one_after_the_first_is_not()
    {
        using var directory = new TemporaryDirectory();
        var token = TestContext.Current.CancellationToken;
        var first = Build(directory);
        await first.StartAsync(token);

        await using (var second = Build(directory))
            (await Should.ThrowAsync<FormatException>(() => second.StartAsync(token))).Message.ShouldContain("in use by another control plane");

        await first.StopAsync(token);
        await first.DisposeAsync();
        await using var third = Build(directory);
        await third.StartAsync(token);
        await third.StopAsync(token);
    }

    private static WebApplication Build(TemporaryDirectory directory) => ControlPlane.Build(new ControlPlaneOptions
    {
        Urls = ["http://127.0.0.1:0"], Database = "sqlite:" + directory.File("x.db"), ConfigureLogging = _ => { },
    });
}
